"""The model card of an adapter that GRPO has trained."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from mevlip.checkpoints.adapter_config import WEIGHTS_NAME
from mevlip.checkpoints.routes import Route
from mevlip.core.files import file_sha256
from mevlip_training.card import opening
from mevlip_training.grpo.plan import GrpoRun
from mevlip_training.grpo.steps import Step

_SETTINGS = (
    "num_generations", "temperature", "beta", "learning_rate", "lr_scheduler_type", "warmup_ratio", "weight_decay",
    "max_grad_norm", "loss_type", "per_device_train_batch_size", "steps_per_generation", "gradient_accumulation_steps",
    "optim", "seed",
)  # fmt: skip
_PARTS = 10


@dataclass(frozen=True)
class Summary:
    """What a run did.

    Attributes:
        steps: Its optimizer steps.
        first: Mean reward of the first tenth of its log.
        last: That of the last tenth.
        kl: Divergence from the start in the last tenth, in nats a token; None where it was not measured.
        seconds: The time of its steps.
    """

    steps: int
    first: float
    last: float
    kl: float | None
    seconds: float

    @classmethod
    def of(cls, steps: Sequence[Step]) -> Summary:
        """Sums up a log; at least one step."""
        tenth = max(len(steps) // _PARTS, 1)
        apart = [one.kl for one in steps[-tenth:] if one.kl is not None]
        return cls(
            steps=steps[-1].step,
            first=fmean(one.total.mean for one in steps[:tenth]),
            last=fmean(one.total.mean for one in steps[-tenth:]),
            kl=fmean(apart) if apart else None,
            seconds=sum(one.seconds for one in steps),
        )


def grpo_card(run: GrpoRun, route: Route, summary: Summary) -> str:
    """Writes an adapter's model card in Markdown.

    Args:
        run: Its run.
        route: Its route, as packed.
        summary: What the run did.
    """
    settings = run.settings.model_dump(mode="json")
    lines = [
        *opening(route, "lora, grpo", ", trained by supervision and then by GRPO"),
        f"- Started from: adapter `{run.adapter}`, sha256 of its weights `{file_sha256(run.start / WEIGHTS_NAME)}`",
        f"- Data: {len(run.questions)} rows, sha256 of the file `{file_sha256(run.rows_file)}`",
        "",
        "| setting | value |",
        "|---|---|",
        *(f"| {key} | {settings[key]} |" for key in _SETTINGS),
        f"| max_completion_length | {run.cap} |",
        "",
        "| task | reward | weight |",
        "|---|---|---|",
        *(
            f"| {task} | {name} | {weight:g} |"
            for task, rewards in run.rewards.items()
            for name, weight in rewards.weights.items()
        ),
        "",
        "| training | |",
        "|---|---|",
        f"| optimizer steps | {summary.steps} |",
        f"| mean reward of the first tenth of steps | {summary.first:.4f} |",
        f"| mean reward of the last tenth | {summary.last:.4f} |",
        *([] if summary.kl is None else [f"| KL divergence from the start, nats a token | {summary.kl:.4g} |"]),
        f"| seconds | {summary.seconds:.0f} |",
        "",
        "Limits: rewards are of sampled answers to training questions and say nothing of other images; it answers "
        "questions in the challenge's forms and nothing else; it is not a medical device.",
    ]
    return "\n".join(lines) + "\n"
