"""The real model code on the demo checkpoint."""

from __future__ import annotations

import itertools
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from mevlip.checkpoints.checkpoint import Checkpoint, open_checkpoint
from mevlip.checkpoints.routes import ImageSettings, read_route, write_route
from mevlip.core.errors import CheckpointError, EnvironmentProblem, MevlipError, ModelFailure
from mevlip.inference.completion import Request
from mevlip.inference.device import choose_device
from mevlip.inference.loading import compute_dtype
from mevlip.inference.lora import check_targets
from mevlip.inference.model import VisionLanguageModel
from mevlip.inference.prompts import Prompt, build_prompt
from mevlip.tasks import NO_ADAPTER, TaskType, adapter_names
from tests.altered_checkpoints import repack, seal
from tests.conftest import DEMO

CPU = torch.device("cpu")
PICTURE = Image.linear_gradient("L").convert("RGB")
Tensors = dict[str, torch.Tensor]


def request(model: VisionLanguageModel, text: str, images: int = 1, budget: int = 12) -> Request:
    pictures = (model.picture(PICTURE, ImageSettings()),) * images
    return Request(model.encode(Prompt(text, "", images), pictures), pictures, budget, None)


def answer(model: VisionLanguageModel, adapter: str, *texts: str) -> tuple[str, ...]:
    model.use(adapter)
    made = model.generate([request(model, text) for text in texts])
    return tuple(completion.text for completion in made.completions)


def first_logits(model: VisionLanguageModel, adapter: str) -> torch.Tensor:
    model.use(adapter)
    with torch.inference_mode():
        return model._generator.first_logits(model.encode(Prompt("What is it?", "", 0), []))


@pytest.mark.model
@pytest.mark.parametrize("dtype", [None, torch.float32, torch.bfloat16])
def test_layers_are_four_bit_and_all_else_is_what_computes(checkpoint: Checkpoint, dtype: torch.dtype | None) -> None:
    import bitsandbytes as bnb

    model, wanted = VisionLanguageModel.load(checkpoint, CPU, dtype=dtype), dtype or compute_dtype(CPU)
    layers = [m for m in model._model.modules() if isinstance(m, bnb.nn.Linear4bit)]
    # Language model, vision tower and projector; LLaMA-Factory leaves the output head unquantized.
    assert len(layers) == 4 * 7 + 3 * 6 + 2
    assert {layer.weight.quant_type for layer in layers} == {"nf4"}
    assert {layer.compute_dtype for layer in layers} == {wanted}
    assert {layer.weight.quant_state.dtype for layer in layers} == {wanted}
    assert all(layer.weight.quant_state.nested for layer in layers), "double quantization, as the route asks"
    assert {one.dtype for one in model._model.parameters()} == {torch.uint8, wanted}


@pytest.mark.parametrize("fast", [True, False])
def test_computes_in_bfloat16_unless_a_processor_is_slow_with_it(fast: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", lambda: fast)
    assert compute_dtype(torch.device("cuda", 0)) == torch.bfloat16
    assert compute_dtype(CPU) == (torch.bfloat16 if fast else torch.float32)


@pytest.mark.model
def test_computing_in_float32_changes_no_weight(checkpoint: Checkpoint) -> None:
    models = [VisionLanguageModel.load(checkpoint, CPU, dtype=dtype) for dtype in (torch.bfloat16, torch.float32)]
    for (name, one), (also, other) in zip(*(one._model.named_parameters() for one in models), strict=True):
        assert name == also and torch.equal(one.to(other.dtype), other), name


def test_each_adapter_answers_in_its_own_way_and_switching_back_is_exact(model: VisionLanguageModel) -> None:
    first = {name: answer(model, name, "What is it?") for name in adapter_names()}
    again = {name: answer(model, name, "What is it?") for name in reversed(adapter_names())}
    assert first == again
    logits = [first_logits(model, name) for name in adapter_names()]
    assert not any(torch.equal(one, other) for one, other in itertools.combinations(logits, 2))


def test_the_base_alone_is_the_model_without_any_adapter(
    model: VisionLanguageModel, reference: VisionLanguageModel
) -> None:
    tuned = first_logits(model, "counting")
    plain = first_logits(model, NO_ADAPTER)
    assert torch.equal(first_logits(model, NO_ADAPTER), plain) and torch.equal(first_logits(model, "counting"), tuned)
    assert not torch.equal(plain, tuned)
    assert torch.equal(first_logits(reference, NO_ADAPTER), plain), "as transformers computes it"


def test_adapters_applied_in_two_kernels_are_pefts(model: VisionLanguageModel, reference: VisionLanguageModel) -> None:
    layers = [[module for module in one._model.modules() if hasattr(module, "lora_A")] for one in (model, reference)]
    dtype = model._model.dtype
    states = torch.randn(5, layers[0][0].in_features, dtype=dtype)
    close = {"atol": 0.02, "rtol": 0.02} if dtype == torch.bfloat16 else {"atol": 1e-4, "rtol": 1e-4}
    for name in adapter_names():
        model.use(name)
        reference.use(name)
        assert reference._model.get_model_status().active_adapters == [name]
        for ours, theirs in zip(*layers, strict=True):
            if ours.in_features == states.shape[1]:
                with torch.inference_mode():
                    torch.testing.assert_close(ours(states), theirs(states), **close)


@pytest.mark.model
def test_an_adapter_of_another_kind_keeps_pefts_way(checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    from mevlip.inference import lora

    plain = VisionLanguageModel.load(checkpoint, CPU)
    monkeypatch.setattr(lora, "_is_plain", lambda module: "q_proj" not in repr(module) and module.in_features != 192)
    mixed = VisionLanguageModel.load(checkpoint, CPU)
    for name in ("counting", "generalist", NO_ADAPTER):
        torch.testing.assert_close(first_logits(mixed, name), first_logits(plain, name), atol=0.1, rtol=0.05)


@pytest.mark.model
def test_a_route_that_composes_adapters_uses_them_together(
    tmp_path: Path, model: VisionLanguageModel, checkpoint: Checkpoint
) -> None:
    folder = Path(shutil.copytree(DEMO, tmp_path / "copy"))
    route = read_route(folder / "adapters/counting").model_copy(update={"compose": ("generalist",)})
    write_route(folder / "adapters/counting", route)
    opened = repack(folder)
    ours, theirs = (VisionLanguageModel.load(opened, CPU, reference=reference) for reference in (False, True))
    found = {name: first_logits(ours, name) for name in ("counting", "generalist")}
    torch.testing.assert_close(found["counting"], first_logits(theirs, "counting"), atol=0.1, rtol=0.05)
    torch.testing.assert_close(found["generalist"], first_logits(model, "generalist"))
    for name in ("counting", "generalist", NO_ADAPTER):
        other = first_logits(model, name)
        assert (found["counting"] - other).std() > 0.1 * other.std(), name


def test_an_adapter_that_changes_the_vision_tower_is_refused() -> None:
    """Pictures are encoded once for all adapters."""
    model = torch.nn.ModuleDict({"vision_tower": torch.nn.ModuleDict({"lora_A": torch.nn.ModuleDict()})})
    model["vision_tower"]["lora_A"]["counting"] = torch.nn.Linear(2, 2)
    check_targets(model, "detection")
    with pytest.raises(CheckpointError, match="adapter 'counting' changes vision_tower, which is not in the language"):
        check_targets(model, "counting")


@pytest.mark.model
def test_decoding_is_greedy_whatever_the_base_asks_for(tmp_path: Path, checkpoint: Checkpoint) -> None:
    folder = Path(shutil.copytree(DEMO, tmp_path / "copy"))
    path = folder / "base/generation_config.json"
    wild = {"do_sample": True, "temperature": 2.0, "num_beams": 3, "repetition_penalty": 5.0, "top_k": 3}
    path.write_text(json.dumps(json.loads(path.read_text()) | wild))
    seal(folder)
    tampered = VisionLanguageModel.load(open_checkpoint(folder), CPU)
    plain = VisionLanguageModel.load(checkpoint, CPU)
    for name in ("counting", "generalist"):
        assert answer(tampered, name, "What is it?") == answer(plain, name, "What is it?")


def test_costs_of_a_call(model: VisionLanguageModel, checkpoint: Checkpoint) -> None:
    model.use("generalist")
    pictures = tuple(model.picture(image, ImageSettings()) for image in map(PICTURE.rotate, (10, 20, 30)))
    short, long, other = (
        Request(model.encode(Prompt(text, "", len(shown)), shown), shown, 3, None)
        for text, shown in (("Short?", pictures[:1]), ("A longer one?", pictures[:1]), ("Short?", pictures[1:]))
    )
    cost = model.generate([short, long, other]).cost
    assert (cost.pictures_encoded, cost.tiles_encoded) == (3, 3)
    assert cost.prompt_tokens == sum(len(one.prompt.tokens) for one in (short, long, other)) - short.prompt.shared
    assert cost.shared_prompts == 1
    assert cost.forwards <= 3 and cost.row_steps == cost.generated_tokens - 3
    assert cost.vocabulary_rows == cost.generated_tokens and cost.synchronizations == cost.forwards
    again = model.generate([short]).cost
    assert again.pictures_encoded == 0, "remembered"
    image_token = model.encoder.tokenizer.convert_tokens_to_ids("<IMG_CONTEXT>")
    assert [one.prompt.tokens.count(image_token) for one in (short, other)] == [16, 32], "a tile is 16 tokens"


def test_the_prompt_is_what_training_writes(model: VisionLanguageModel) -> None:
    route_prompt = build_prompt("What is it?", 1, open_checkpoint(DEMO).routes["counting"].prompt, model.reserved)
    assert model.encoder.render(route_prompt) == (
        "<|im_start|>user\n<IMG_CONTEXT>\nWhat is it?<|im_end|>\n<|im_start|>assistant\n"
    )


def test_special_tokens_are_all_reserved(model: VisionLanguageModel) -> None:
    assert {"<img>", "</img>", "<IMG_CONTEXT>", "<|im_start|>", "<|im_end|>", "<video>"} <= model.reserved


def rename_keys(tensors: Tensors) -> Tensors:
    return {key.replace("language_model", "text_model"): value for key, value in tensors.items()}


def lose_a_key(tensors: Tensors) -> Tensors:
    return dict(list(tensors.items())[1:])


def zero_one_b(tensors: Tensors) -> Tensors:
    key = next(key for key in tensors if "lora_B" in key)
    return tensors | {key: torch.zeros_like(tensors[key])}


def wrong_shape(tensors: Tensors) -> Tensors:
    return {key: value[:4] if "lora_A" in key else value for key, value in tensors.items()}


def all_nan(tensors: Tensors) -> Tensors:
    return {key: torch.full_like(value, float("nan")) for key, value in tensors.items()}


def too_large_for_bfloat16(tensors: Tensors) -> Tensors:
    key = next(key for key in tensors if "lora_B" in key)
    return {k: v.float() for k, v in tensors.items()} | {key: torch.full(tensors[key].shape, 3.4e38)}


@pytest.mark.model
@pytest.mark.parametrize("adapter", ["generalist", "regression"])
@pytest.mark.parametrize(
    ("damage", "cause"),
    [
        (rename_keys, "differ in 56 keys"),
        (lose_a_key, "differ in 1 keys; the file misses"),
        (zero_one_b, "all zero, so it was never trained"),
        (wrong_shape, "cannot be loaded"),
        (all_nan, "lora_A.weight holds values that are not finite"),
        (too_large_for_bfloat16, "lora_B.weight holds values that are not finite"),
    ],
)
def test_an_adapter_that_would_be_ignored_is_named(
    tmp_path: Path, adapter: str, damage: Callable[[Tensors], Tensors], cause: str
) -> None:
    folder = Path(shutil.copytree(DEMO, tmp_path / "copy"))
    path = folder / "adapters" / adapter / "adapter_model.safetensors"
    save_file(damage(load_file(path)), path, {"format": "pt"})
    altered = repack(folder)
    with pytest.raises(CheckpointError, match=f"adapter '{adapter}'.*{cause}"):
        VisionLanguageModel.load(altered, CPU)


@pytest.mark.model
def test_an_adapter_that_changes_nothing_is_named(tmp_path: Path) -> None:
    folder = Path(shutil.copytree(DEMO, tmp_path / "copy"))
    path = folder / "adapters/counting/adapter_model.safetensors"
    # Too small to move a bf16 logit, but not zero.
    save_file({k: v * 1e-20 if "lora_B" in k else v for k, v in load_file(path).items()}, path, {"format": "pt"})
    altered = repack(folder)
    with pytest.raises(CheckpointError, match="adapter 'counting': its logits equal the base model's"):
        VisionLanguageModel.load(altered, CPU)


@pytest.mark.model
def test_a_base_whose_weights_do_not_fit_is_named(tmp_path: Path) -> None:
    folder = Path(shutil.copytree(DEMO, tmp_path / "copy"))
    path = folder / "base/model.safetensors"
    save_file(lose_a_key(load_file(path)), path, {"format": "pt"})
    altered = repack(folder)
    with pytest.raises(CheckpointError, match="The base model .* missing keys"):
        VisionLanguageModel.load(altered, CPU)


@pytest.mark.model
def test_a_damaged_tokenizer_is_named(tmp_path: Path) -> None:
    folder = Path(shutil.copytree(DEMO, tmp_path / "copy"))
    (folder / "base/tokenizer.json").write_text("{")
    altered = repack(folder)
    with pytest.raises(CheckpointError, match="The tokenizer or image processor in .* cannot be loaded"):
        VisionLanguageModel.load(altered, CPU)


@pytest.mark.model
def test_weights_that_are_no_safetensors_are_named(tmp_path: Path) -> None:
    folder = Path(shutil.copytree(DEMO, tmp_path / "copy"))
    (folder / "base/model.safetensors").write_bytes(b"no weights")
    altered = repack(folder)
    with pytest.raises(CheckpointError, match="The base model in .* cannot be loaded"):
        VisionLanguageModel.load(altered, CPU)


def full_gpu() -> None:
    raise torch.OutOfMemoryError("CUDA out of memory")


def full_host() -> None:
    torch.empty(1 << 50)


@pytest.mark.model
@pytest.mark.parametrize("run_out", [full_gpu, full_host])
@pytest.mark.parametrize("wrapped", [False, True], ids=["plain", "wrapped"])
def test_a_device_without_room_is_an_environment_problem(
    checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch, run_out: Callable[[], None], wrapped: bool
) -> None:
    from transformers import AutoModelForImageTextToText

    def full(*_: object, **__: object) -> None:
        try:
            run_out()
        except Exception as error:
            if wrapped:  # as transformers does where quantizing a weight fails
                raise RuntimeError("We encountered some issues during automatic conversion of the weights") from error
            raise

    monkeypatch.setattr(AutoModelForImageTextToText, "from_pretrained", full)
    with pytest.raises(EnvironmentProblem, match="does not fit into the free memory"):
        VisionLanguageModel.load(checkpoint, CPU)


@pytest.mark.model
@pytest.mark.parametrize(
    ("error", "kind", "cause"),
    [
        (RuntimeError("CUDA error: no kernel image is available"), ModelFailure, "cannot compute .*no kernel image"),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED"), EnvironmentProblem, "does not fit"),
        (torch.OutOfMemoryError("CUDA out of memory"), EnvironmentProblem, "does not fit"),
    ],
)
def test_a_device_that_does_not_compute_is_named_before_the_first_answer(
    checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch, error: Exception, kind: type[MevlipError], cause: str
) -> None:
    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr(VisionLanguageModel, "use", fail)
    with pytest.raises(kind, match=cause):
        VisionLanguageModel.load(checkpoint, CPU)


def test_loading_leaves_training_in_the_same_process_possible(model: VisionLanguageModel) -> None:
    assert torch.is_grad_enabled()


def test_cuda_is_never_replaced_silently(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(EnvironmentProblem, match="no usable GPU"):
        choose_device("cuda")
    assert choose_device("auto") == choose_device("cpu") == CPU
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert choose_device("auto") == choose_device("cuda") == torch.device("cuda", 0)


@pytest.fixture
def unusable_gpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine whose driver is too old: the folder of its devices."""

    def refuse() -> None:
        raise RuntimeError("The NVIDIA driver on your system is too old (found version 12020).\nUpdate it.")

    (tmp_path / "nvidia0").touch()
    (tmp_path / "nvidiactl").touch()
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    monkeypatch.setattr(torch.cuda, "init", refuse)
    return tmp_path


def test_a_container_that_was_given_a_gpu_never_runs_on_the_cpu_instead(
    unusable_gpu: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NVIDIA_VISIBLE_DEVICES", "0")
    with pytest.raises(
        EnvironmentProblem, match=r"nvidia0, driver not found.*too old \(found version 12020\)\.\)"
    ) as got:
        choose_device("auto", unusable_gpu)
    assert "MEVLIP_DEVICE=cpu" in got.value.remedy
    assert choose_device("cpu", unusable_gpu) == CPU
    (unusable_gpu / "nvidia0").unlink()
    assert choose_device("auto", unusable_gpu) == CPU, "none was given: the image's own variable says nothing"


def test_elsewhere_the_cpu_takes_its_place_and_the_log_says_so(
    unusable_gpu: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.delenv("NVIDIA_VISIBLE_DEVICES", raising=False)
    assert choose_device("auto", unusable_gpu) == CPU
    assert "A GPU is there" in caplog.text and "the CPU is used" in caplog.text
    monkeypatch.setattr(torch.version, "cuda", None)
    with pytest.raises(EnvironmentProblem, match=r"no usable GPU \(torch .* is built without CUDA\)"):
        choose_device("cuda", unusable_gpu)


def test_answers_do_not_depend_on_the_batch_beyond_rounding(model: VisionLanguageModel) -> None:
    texts = ("One?", "A second question with more words?", "Three")
    together = answer(model, "report_generation", *texts)
    alone = tuple(answer(model, "report_generation", text)[0] for text in texts)
    same = sum(a == b for a, b in zip(together, alone, strict=True))
    assert same >= 2, "bf16 rounding may flip a near tie, no more"


def test_the_budget_of_every_task_is_in_every_route(checkpoint: Checkpoint) -> None:
    assert set(checkpoint.routes["generalist"].max_new_tokens) == set(TaskType)
