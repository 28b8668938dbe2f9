"""Loading a base model and its adapters from a checkpoint folder, and refusing files that do not belong together."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from mevlip.checkpoints.adapter_config import WEIGHTS_NAME
from mevlip.checkpoints.checkpoint import Checkpoint, stored_quantization
from mevlip.checkpoints.routes import Quantization
from mevlip.core.errors import CheckpointError, EnvironmentProblem
from mevlip.inference.families import base_family
from mevlip.inference.lora import check_targets

REFETCH = "Fetch the base model again."
RETRAIN = "Train or fetch this adapter again; prediction with a base that ignores it would be silently wrong."
_NO_MEMORY = ("DefaultCPUAllocator", "out of memory", "_STATUS_ALLOC_FAILED")
"""What libraries write where memory ran out, in errors that have no type of their own."""


def compute_dtype(device: torch.device) -> torch.dtype:
    """In what a device computes: bfloat16, as adapters are trained, but float32 on processors that are slow with it.

    Those are the ones for which torch has no kernels of oneDNN and multiplies number by number: of 256 rows with a
    matrix of 1024 x 1024 in 670 ms, where float32 takes 11 (one thread, AVX2).
    """
    has_kernels = device.type != "cpu" or (
        torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
        and torch.ops.mkldnn._is_mkldnn_bf16_supported()
    )
    return torch.bfloat16 if has_kernels else torch.float32


def compute_in_float32(model: Any) -> Any:
    """Makes a loaded model compute in float32, with the same weights, which are bfloat16 or four bits."""
    import bitsandbytes as bnb

    model.float()
    for layer in model.modules():
        if isinstance(layer, bnb.nn.Linear4bit):
            layer.compute_dtype = layer.weight.quant_state.dtype = torch.float32
    return model


def load_base(folder: Path, quantization: Quantization, device: torch.device) -> Any:
    """Loads a base model in four bits, whether its files are quantized already or hold bfloat16.

    Args:
        folder: The base model's folder.
        quantization: How the routes want it.
        device: Where to.

    Returns:
        The transformers model, in evaluation mode.

    Raises:
        CheckpointError: The files are incomplete, do not belong together, or are quantized in another way.
        EnvironmentProblem: It does not fit into the free memory.
    """
    from transformers import AutoModelForImageTextToText

    base_family(folder)  # refuses a base in InternVL's original layout
    wanted = _bitsandbytes(quantization)
    stored = stored_quantization(folder)
    if stored is not None:
        _check_stored(folder, stored, wanted.to_dict() if wanted else {})
    if device.type == "cpu":
        _keep_four_bit_exact_on_cpu()
    with naming_failures(f"The base model in {folder}", REFETCH):
        model, loading = AutoModelForImageTextToText.from_pretrained(
            folder,
            dtype=torch.bfloat16,
            **({"quantization_config": wanted} if wanted and stored is None else {}),
            # One explicit place for everything: nothing can be off-loaded unseen.
            device_map={"": device},
            local_files_only=True,
            trust_remote_code=False,
            use_safetensors=True,
            output_loading_info=True,
        )
    for what in ("missing_keys", "unexpected_keys", "mismatched_keys"):
        keys = sorted(str(key) for key in loading.get(what) or ())
        if keys:
            raise CheckpointError(
                f"The base model in {folder} has {len(keys)} {what.replace('_', ' ')}, such as {keys[0]}",
                f"Its config.json and weights do not belong together. {REFETCH}",
            )
    return model.eval()


def _check_stored(folder: Path, stored: dict[str, Any], wanted: dict[str, Any]) -> None:
    """Raises CheckpointError where a base is stored in other bits than its routes ask for."""
    keys = (
        "quant_method",
        "load_in_4bit",
        "bnb_4bit_quant_type",
        "bnb_4bit_use_double_quant",
        "bnb_4bit_compute_dtype",
    )
    for key in keys:
        if stored.get(key) != wanted.get(key):
            raise CheckpointError(
                f"The base model in {folder} is stored with {key} {stored.get(key)!r}, its adapters' routes want "
                f"{wanted.get(key)!r}",
                "Assemble the checkpoint again from the unquantized base.",
            )


def _bitsandbytes(quantization: Quantization) -> Any:
    if quantization.kind == "none":
        return None
    from transformers import BitsAndBytesConfig

    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type=quantization.kind,
        bnb_4bit_use_double_quant=quantization.double,
        bnb_4bit_compute_dtype=torch.bfloat16,
    )


def _keep_four_bit_exact_on_cpu() -> None:
    """Turns off bitsandbytes' in-place repacking on CPUs with AVX512-BF16, which makes results differ by machine."""
    import bitsandbytes.nn.modules

    bitsandbytes.nn.modules.has_avx512bf16 = lambda: False


def load_adapters(model: Any, checkpoint: Checkpoint) -> Any:
    """Puts every adapter of a checkpoint on its base, unmerged, in bfloat16.

    Raises:
        CheckpointError: An adapter cannot be loaded, does not fit the base, is not finite or was never trained.
        EnvironmentProblem: It does not fit into the free memory.
    """
    from peft import PeftModel

    wrapped = None
    for name in checkpoint.routes:
        folder = checkpoint.adapter(name)
        with naming_failures(f"adapter {name!r}", RETRAIN):
            if wrapped is None:
                wrapped = PeftModel.from_pretrained(model, folder, adapter_name=name, autocast_adapter_dtype=False)
            else:
                wrapped.load_adapter(folder, adapter_name=name, autocast_adapter_dtype=False)
        _check_weights(wrapped, name, folder)
        check_targets(wrapped, name)
    assert wrapped is not None, "a checkpoint has a generalist"  # noqa: S101 - by open_checkpoint
    for parameter_name, parameter in wrapped.named_parameters():
        if "lora_" in parameter_name:
            parameter.data = parameter.data.to(torch.bfloat16)
    return wrapped.eval()


def _check_weights(model: Any, name: str, folder: Path) -> None:
    """Raises CheckpointError unless file and model want the same keys, all values are finite and every B non-zero."""
    from peft import get_peft_model_state_dict
    from safetensors import safe_open

    zero, broken = [], []
    with safe_open(folder / WEIGHTS_NAME, framework="pt") as file:
        stored = set(file.keys())
        for key in sorted(stored):
            weights = file.get_tensor(key)
            # In bfloat16, as it is computed: a large float32 becomes infinite there.
            if not weights.to(torch.bfloat16).isfinite().all():
                broken.append(key)
            elif "lora_B" in key and not weights.any():
                zero.append(key)
    # Of the adapters' own parameters alone: a state of the whole model, quantized, takes longer than all else here.
    own = {key: parameter for key, parameter in model.named_parameters() if "lora_" in key}
    wanted = set(get_peft_model_state_dict(model, own, adapter_name=name, save_embedding_layers=False))
    for problem, keys in (("does not know", stored - wanted), ("misses", wanted - stored)):
        if keys:
            raise CheckpointError(
                f"adapter {name!r}: its weights and the base model differ in {len(keys)} keys; "
                f"the {'model' if keys <= stored else 'file'} {problem} {min(keys)}",
                RETRAIN,
            )
    if broken:
        raise CheckpointError(f"adapter {name!r}: {broken[0]} holds values that are not finite", RETRAIN)
    if zero:
        raise CheckpointError(f"adapter {name!r}: {zero[0]} is all zero, so it was never trained", RETRAIN)


@contextmanager
def naming_failures(what: str, remedy: str) -> Iterator[None]:
    """Names what could not be loaded; each library has errors of its own for a damaged file."""
    try:
        yield
    except Exception as error:
        if is_out_of_memory(error):
            raise no_room(what) from error
        raise CheckpointError(f"{what} cannot be loaded ({describe_error(error)})", remedy) from error


def no_room(what: str) -> EnvironmentProblem:
    """The error for what does not fit into the memory."""
    return EnvironmentProblem(
        f"{what} does not fit into the free memory",
        "End other programs: InternVL3-8B needs about 9 GB of a GPU, or 16 GB of main memory without one. "
        "`mevlip doctor` shows what is free.",
    )


def describe_error(error: Exception) -> str:
    """Names a library's error by its type and the beginning of its text, in one line."""
    return f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"


def is_out_of_memory(error: BaseException | None) -> bool:
    """Whether memory ran out, of the GPU or of the host; libraries wrap that error while they load weights."""
    while error is not None:
        if isinstance(error, (torch.OutOfMemoryError, MemoryError)) or any(sign in str(error) for sign in _NO_MEMORY):
            return True
        error = error.__cause__ or error.__context__
    return False
