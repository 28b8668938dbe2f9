"""peft's adapter_config.json: what of it decides an adapter's answers, and what is refused before peft reads it.

peft takes some of its strings for regular expressions and tries them on every module's name; a hostile one never ends.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mevlip.checkpoints.records import RECORD_LIMIT, first_error
from mevlip.core.errors import CheckpointError
from mevlip.core.files import read_bounded

CONFIG_NAME = "adapter_config.json"
WEIGHTS_NAME = "adapter_model.safetensors"

_PROVENANCE = {"base_model_name_or_path", "revision", "peft_version", "inference_mode", "auto_mapping"}
"""Keys by which nothing is computed."""
_LISTS = ("target_modules", "exclude_modules", "modules_to_save", "layers_pattern", "target_parameters")
_PATTERNS = ("rank_pattern", "alpha_pattern")
_MODULE = re.compile(r"[A-Za-z0-9_.]{1,200}")
_MOST_MODULES = 2000
_REMEDY = "Train this adapter with lora_target as a list of module names, as LLaMA-Factory writes it."


def lora_settings(path: Path) -> dict[str, Any]:
    """Reads what an adapter is computed by; defaults that stand for "not used" are left out.

    Args:
        path: The adapter_config.json.

    Returns:
        Settings by name, lists of modules sorted.

    Raises:
        CheckpointError: The file is absent, too large, not LoRA, or holds a pattern in place of a module's name.
    """
    owner = f"adapter {path.parent.name!r}: {path}"
    try:
        content = json.loads(read_bounded(path, RECORD_LIMIT))
        if not isinstance(content, dict):
            raise ValueError("it is not an object")
    except (OSError, ValueError, RecursionError) as error:
        raise CheckpointError(f"{owner} cannot be read ({first_error(error)})", _REMEDY) from error
    for problem in _problems(content):
        raise CheckpointError(f"{owner}: {problem}", _REMEDY)
    used = {key: value for key, value in content.items() if key not in _PROVENANCE and not _is_unused(value)}
    return {key: sorted(value) if key in _LISTS else value for key, value in used.items()}


def _problems(content: dict[str, Any]) -> Iterator[str]:
    if content.get("peft_type") not in (None, "LORA"):
        yield "peft_type is not LORA"
    if content.get("megatron_config"):
        yield "megatron_config names a module to import"
    if not content.get("target_modules"):
        yield "target_modules is empty"
    for key in (*_LISTS, *_PATTERNS):
        value = content.get(key)
        if value is None:
            continue
        if not isinstance(value, dict if key in _PATTERNS else list):
            yield f"{key} is a {type(value).__name__}, not a {'table' if key in _PATTERNS else 'list'} of module names"
            return
        if len(value) > _MOST_MODULES:
            yield f"{key} has {len(value)} entries, at most {_MOST_MODULES} are read"
        if not all(isinstance(one, str) and _MODULE.fullmatch(one) for one in value):
            yield f"{key} holds something else than a module's name"


def _is_unused(value: Any) -> bool:
    return value is None or value is False or value in ({}, [])
