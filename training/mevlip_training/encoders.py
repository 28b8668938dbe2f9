"""Opening pretrained text encoders, from a folder or from the hub."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch

from mevlip.core.errors import EnvironmentProblem
from mevlip_training.pickled_weights import convert

_SAFE = ("model.safetensors", "model.safetensors.index.json")
_PICKLE = "pytorch_model.bin"
_SENTENCEPIECE = "spm.model"
_INSTALL = "pip install 'me-vlip[router]'"
_TOKENIZER_REMEDY = (
    f"Put its files into the encoder's folder; a SentencePiece file ({_SENTENCEPIECE}) needs {_INSTALL}."
)


def open_encoder(name: str, allow_bin: bool = False) -> tuple[Any, Any]:
    """Opens a pretrained text encoder and its tokenizer, in single precision.

    Args:
        name: A local folder, or a model's name on the hub or in this machine's hub cache.
        allow_bin: Whether a `pytorch_model.bin` may be converted where there are no safetensors.
            microsoft/deberta-v3-small is published that way, and its weights are half precision.

    Raises:
        EnvironmentProblem: The model or its tokenizer cannot be opened.
    """
    from transformers import AutoModel, AutoTokenizer

    local = Path(name).is_dir()
    missing = [package for package in ("sentencepiece", "google.protobuf") if not _is_installed(package)]
    if missing and _file(name, _SENTENCEPIECE) is not None and _file(name, "tokenizer.json") is None:
        raise EnvironmentProblem(
            f"The tokenizer of {name} is a SentencePiece file, and {' and '.join(missing)} cannot be imported",
            f"Install what reads it: {_INSTALL}.",
        )
    with TemporaryDirectory(prefix="mevlip-encoder-") as scratch:
        source = _converted(name, Path(scratch)) if allow_bin else name
        try:
            encoder = AutoModel.from_pretrained(
                source,
                use_safetensors=True,
                local_files_only=local,
                trust_remote_code=False,
                dtype=torch.float32,
            )
        except Exception as error:  # the hub, the disk and three libraries have errors of their own
            remedy = "Name a folder that holds config.json, the weights and the tokenizer with --encoder."
            if not allow_bin and (not local or (Path(name) / _PICKLE).is_file()):
                remedy += f" Where the model has only a {_PICKLE}, --allow-bin converts it."
            raise EnvironmentProblem(f"The encoder {name} cannot be opened ({_first_line(error)})", remedy) from error
    try:
        tokenizer = AutoTokenizer.from_pretrained(name, local_files_only=local, trust_remote_code=False)
    except Exception as error:
        raise EnvironmentProblem(
            f"The tokenizer of {name} cannot be opened ({_first_line(error)})", _TOKENIZER_REMEDY
        ) from error
    if len(tokenizer) < encoder.config.vocab_size // 2:  # where the files are missing, the library makes an empty one
        raise EnvironmentProblem(f"The tokenizer of {name} knows only {len(tokenizer)} words", _TOKENIZER_REMEDY)
    if local or source != name:
        encoder.config._name_or_path = ""  # a path would name this machine
    return encoder, tokenizer


def _converted(name: str, scratch: Path) -> str:
    """The name itself where there are safetensors; else a folder with those that its pickle was converted to."""
    config, pickled = (_file(name, one) for one in ("config.json", _PICKLE))
    if config is None or pickled is None or any(_file(name, one) for one in _SAFE):
        return name
    convert(pickled, scratch / _SAFE[0])
    (scratch / config.name).write_bytes(config.read_bytes())
    return str(scratch)


def _file(name: str, file: str) -> Path | None:
    """A file of a local folder or of a model on the hub; None where there is none, or the hub cannot be asked."""
    if Path(name).is_dir():
        path = Path(name, file)
        return path if path.is_file() else None
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import EntryNotFoundError, HFValidationError

    try:
        return Path(hf_hub_download(name, file))
    except (OSError, EntryNotFoundError, HFValidationError):
        return None


def _is_installed(package: str) -> bool:
    try:
        return find_spec(package) is not None
    except ModuleNotFoundError:  # the package that it is in
        return False


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")
