"""The training itself, on TRL's GRPOTrainer; imported in the training environment alone."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel
from transformers import LogitsProcessorList, TrainerCallback
from transformers.models.internvl.processing_internvl import InternVLProcessorKwargs

from mevlip.checkpoints.routes import Route, read_route
from mevlip.inference.encoder import PromptEncoder
from mevlip.inference.loading import compute_dtype, compute_in_float32, load_base
from mevlip.tasks import TaskType
from mevlip_training.families import DEFAULT
from mevlip_training.grpo.curriculum import closed_first
from mevlip_training.grpo.log import LOG_NAME, append
from mevlip_training.grpo.monitor import Monitor
from mevlip_training.grpo.plan import longest_completion, rewards_for
from mevlip_training.grpo.questions import Question, read_questions
from mevlip_training.grpo.sampling import Held, Sampler
from mevlip_training.grpo.scoring import Rewards
from mevlip_training.grpo.settings import Settings
from mevlip_training.grpo.steps import Group, summarize
from mevlip_training.grpo.trl import Config, Trainer
from mevlip_training.resuming import last_saved
from mevlip_training.runs import read_yaml

_TRAINED, _START = "default", "start"
"""The adapter that is trained, and the one that it started from, which stays as it is."""
_MONITOR_NAME = "monitor.json"
_ROWS = "rows"
"""Where a batch has the places of its completions in their generation."""


class _Rows(torch.utils.data.Dataset[dict[str, Any]]):
    """Questions as TRL takes them: the prompt in the model's own chat format, the image, and the question's place."""

    def __init__(self, questions: Sequence[Question], encoder: PromptEncoder, route: Route) -> None:
        self._questions, self._route = questions, route
        self._prompts = [encoder.render(one.prompt) for one in questions]

    def __len__(self) -> int:
        return len(self._questions)

    def __getitem__(self, place: int) -> dict[str, Any]:
        picture = self._questions[place].picture(self._route)
        return {"prompt": self._prompts[place], "images": [picture], "place": place}


class _Watch(TrainerCallback):  # type: ignore[misc]  # transformers is untyped to us
    """Scores completions, writes the log and asks the monitor."""

    def __init__(
        self,
        questions: Sequence[Question],
        rewards: Mapping[TaskType, Rewards],
        group: int,
        sampler: Sampler,
        monitor: Monitor,
    ) -> None:
        self._questions, self._rewards, self._group, self._sampler = questions, rewards, group, sampler
        self._monitor = monitor
        self._groups: list[Group] = []
        self._since = time.perf_counter()

    def reward(self, place: Sequence[int], **_: Any) -> list[float]:
        """The total reward of each completion; those of a question stand together."""
        asked, said = [self._questions[one] for one in place], self._sampler.said()
        scores = [
            self._rewards[one.task].score(one.spec, own.answer, one.truth) for one, own in zip(asked, said, strict=True)
        ]
        for first in range(0, len(scores), self._group):
            part = slice(first, first + self._group)
            lengths, cut = [one.tokens for one in said[part]], sum(one.is_cut for one in said[part])
            self._groups.append(Group(scores[part], lengths, cut))
        return [one.total for one in scores]

    def on_log(self, args: Any, state: Any, control: Any, logs: Mapping[str, Any], **_: Any) -> None:
        """Logs what the last generation and the steps on it were."""
        if "loss" not in logs:  # the summary at the end
            return
        now = time.perf_counter()
        step = summarize(
            state.global_step, self._groups, kl=logs.get("kl"), loss=logs["loss"],
            learning_rate=logs["learning_rate"], seconds=now - self._since,
        )  # fmt: skip
        self._groups, self._since = [], now
        append(Path(args.output_dir) / LOG_NAME, step)
        self._monitor.observe(step)

    def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Saves what the monitor remembers beside the step's weights."""
        saved = Path(args.output_dir) / f"checkpoint-{state.global_step}" / _MONITOR_NAME
        saved.write_text(json.dumps(self._monitor.state), "utf-8")


class _Start:
    """The model with the adapter that training started from, which divergence is measured from.

    TRL itself would switch adapters off and so measure from the base, which has never learned to answer.
    """

    def __init__(self, model: Any) -> None:
        self._model = model

    def __call__(self, **inputs: Any) -> Any:
        """Runs the model once with the adapter of the start."""
        self._model.base_model.set_adapter(_START, inference_mode=True)
        try:
            return self._model(**inputs)
        finally:
            self._model.base_model.set_adapter(_TRAINED)


class _Trainer(Trainer):  # type: ignore[misc]  # trl is untyped to us
    """TRL's trainer, whose completions are sampled as answers are predicted, and learned as they were sampled.

    It saves the trained adapter and nothing that would have to be unpickled to use it.
    """

    def __init__(self, sampler: Sampler, questions: Sequence[Question], **given: Any) -> None:
        super().__init__(**given)
        self._sampler, self._questions = sampler, questions
        self._rows: Sequence[int] = ()

    def _generate_and_score_completions(self, inputs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        self._sampler.begin([self._questions[one["place"]] for one in inputs])
        self._rows = range(len(inputs))
        # TRL shuffles what it gets, and divides it into batches.
        return {**super()._generate_and_score_completions(inputs), _ROWS: torch.arange(len(inputs))}

    def _compute_loss(self, model: Any, inputs: Mapping[str, Any]) -> Any:
        self._rows = inputs[_ROWS].tolist()
        return super()._compute_loss(model, inputs)

    def _get_per_token_logps_and_entropies(self, model: Any, *given: Any, **named: Any) -> Any:
        held = Held(model, self._sampler, self._rows)
        return super()._get_per_token_logps_and_entropies(held, *given, **named)

    def _save(self, output_dir: str | None = None, state_dict: Any = None) -> None:
        self.model.save_pretrained(output_dir or self.args.output_dir, selected_adapters=[_TRAINED])

    def create_model_card(self, *_: Any, **__: Any) -> None:
        """Nothing: the packed adapter's card says what it is."""


def train(config: Path) -> None:
    """Trains by a config that `mevlip train grpo` wrote, from the last saved step where there is one.

    Raises:
        RewardCollapse: The monitor ended the run.
    """
    given = read_yaml(config)
    settings = Settings.model_validate(given["settings"])
    start, output = Path(given["start"]), Path(given["output"])
    route = read_route(start)
    encoder = PromptEncoder(DEFAULT, Path(given["base"]))
    found = read_questions(Path(given["rows"]), route, encoder.family)
    questions = [found[place] for place in closed_first([one.spec for one in found], settings.seed)]
    model = _load(Path(given["base"]), start, route, settings)
    size = model.get_base_model().get_output_embeddings().weight.shape[0]
    sampler = Sampler(encoder.tokenizer, size, route, settings)
    # TRL passes no argument of its own.
    model.generate = partial(model.generate, logits_processor=LogitsProcessorList([sampler]))
    saved = last_saved(output)
    state = json.loads((saved / _MONITOR_NAME).read_bytes()) if saved else None
    watch = _Watch(
        questions,
        rewards_for(questions, settings),
        settings.num_generations,
        sampler,
        Monitor(settings.limits, state),
    )
    # The processor's default is up to 13 tiles.
    InternVLProcessorKwargs._defaults["images_kwargs"]["crop_to_patches"] = False
    trainer = _Trainer(
        sampler,
        questions,
        model=model,
        reward_funcs=watch.reward,
        args=_arguments(settings, output, longest_completion(route, settings), model.device),
        train_dataset=_Rows(questions, encoder, route),
        processing_class=encoder.processor,
        callbacks=[watch],
    )
    trainer.ref_model = _Start(model) if settings.beta else None
    result = trainer.train(resume_from_checkpoint=str(saved) if saved else None)
    trainer.save_model()
    trainer.save_state()
    trainer.save_metrics("train", result.metrics | {"epoch": trainer.state.epoch})


def _load(base: Path, start: Path, route: Route, settings: Settings) -> Any:
    """The base with both adapters, computing as the predictor does."""
    device = torch.device("cuda" if torch.cuda.is_available() and not settings.use_cpu else "cpu")
    model = load_base(base, route.quantization, device)
    wrapped = PeftModel.from_pretrained(model, start, adapter_name=_TRAINED, is_trainable=True)
    wrapped.load_adapter(start, _START, is_trainable=False)
    wrapped.set_adapter(_TRAINED)  # loading the other one froze it
    wrapped.warnings_issued = {}  # TRL writes into it; transformers 5 has none
    return compute_in_float32(wrapped) if compute_dtype(device) is torch.float32 else wrapped


def _arguments(settings: Settings, output: Path, cap: int, device: torch.device) -> Any:
    ours = {
        "model_name_or_path",
        "model_revision",
        "weights",
        "limits",
        "constrain",
        "max_completion_length",
        "max_steps",
        "use_cpu",
    }
    return Config(
        **settings.model_dump(exclude=ours),
        max_steps=settings.max_steps or -1,
        max_completion_length=cap,
        max_prompt_length=None,  # nothing is cut: a prompt cut within its image would end the run
        output_dir=str(output),
        shuffle_dataset=False,
        logging_steps=settings.round,
        bf16=compute_dtype(device) is torch.bfloat16,
        use_cpu=device.type == "cpu",
        dataloader_num_workers=0,
        save_only_model=False,
        report_to="none",
        disable_tqdm=True,
    )
