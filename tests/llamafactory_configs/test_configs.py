"""The training configs are the paper's tables, and LLaMA-Factory's own parser reads them so."""

from __future__ import annotations

import json
import math
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from peft import LoraConfig, get_peft_model
from transformers import InternVLForConditionalGeneration, get_linear_schedule_with_warmup

from llamafactory_configs.make_configs import BASES
from mevlip.checkpoints.routes import ImageSettings, PromptSettings, Quantization
from mevlip.tasks import GENERALIST, TASKS, TaskType, adapter_names
from mevlip_training.shapes.internvl3 import internvl3_8b
from tests.conftest import HANG, ROOT, TRAIN_PYTHON

FOLDER = ROOT / "llamafactory_configs"
ADAPTERS = {name: FOLDER / f"{name}.yaml" for name in adapter_names()}
PRESETS = {path.stem: path for path in sorted((FOLDER / "presets").glob("*.yaml"))}
OTHER_BASES = {name: [FOLDER / name / f"{adapter}.yaml" for adapter in ADAPTERS] for name in BASES}
FILES = [*ADAPTERS.values(), *PRESETS.values(), *(path for paths in OTHER_BASES.values() for path in paths)]
PARSED = [*ADAPTERS.values(), *PRESETS.values(), *(paths[0] for paths in OTHER_BASES.values())]
"""Of other bases one file, from which the rest differ as those of InternVL do among themselves."""
PROJECTIONS = "q_proj,k_proj,v_proj,o_proj,up_proj,gate_proj,down_proj"
IMAGE_TOKENS = 258
"""Of one tile: 256 features between two marks."""

TABLES_1_AND_2 = {
    "model_name_or_path": "OpenGVLab/InternVL3-8B-hf",
    "stage": "sft",
    "finetuning_type": "lora",
    "quantization_method": "bnb",
    "quantization_bit": 4,
    "quantization_type": "nf4",
    "double_quantization": True,
    "lora_rank": 8,
    "lora_target": PROJECTIONS,
    "num_train_epochs": 3,
    "per_device_train_batch_size": 2,
    "gradient_accumulation_steps": 4,
    "cutoff_len": 2048,
    "optim": "adamw_torch",
    "bf16": True,
    "lr_scheduler_type": "linear",
    "learning_rate": 2e-4,
    "warmup_ratio": 0.03,
}
NOT_IN_THE_TABLES = {
    "model_revision": "259a3b64a14623c0ec91a045cb43f7c5af5fa6af",
    "trust_remote_code": False,
    "lora_alpha": 16,
    "lora_dropout": 0.0,
    "freeze_vision_tower": True,
    "freeze_multi_modal_projector": True,
    "template": "intern_vl",
    "dataset_dir": "data/flare",
}
DIFFERENCES: dict[str, set[str]] = {
    **{name: {"dataset"} for name in ADAPTERS if name != GENERALIST},
    "instance_detection": {"dataset", "cutoff_len"},
    "as_released": {"dataset_dir", "double_quantization", "lora_target"},
    "paged_optimizer": {"optim", "per_device_train_batch_size", "gradient_accumulation_steps"},
    "multi_gpu_deepspeed": {"gradient_accumulation_steps", "ddp_timeout", "deepspeed"},
    "multi_gpu_ray": {"gradient_accumulation_steps", "ddp_timeout", "ray_num_workers"},
}
"""Where a file may differ from generalist.yaml, besides output_dir."""
OF_A_BASE = {
    "qwen2_5_vl_7b": {"model_name_or_path", "model_revision", "template", "image_max_pixels", "crop_to_patches"},
    "qwen3_vl_8b": {"model_name_or_path", "model_revision", "template", "image_max_pixels", "crop_to_patches"},
    "qwen3_5_9b": {
        "model_name_or_path", "model_revision", "template", "lora_target", "image_max_pixels", "crop_to_patches",
    },
    "fleming_vl_8b": {"model_name_or_path", "model_revision"},
    "fleming_vl_38b": {
        "model_name_or_path", "model_revision", "per_device_train_batch_size", "gradient_accumulation_steps",
    },
    "medgemma_4b": {"model_name_or_path", "model_revision", "template", "image_do_pan_and_scan", "crop_to_patches"},
}  # fmt: skip
"""The same for all files of another base, besides what its adapter's own file differs in."""


def name_of(path: Path) -> str:
    """A config's path in the folder, without its suffix."""
    return str(path.relative_to(FOLDER).with_suffix(""))


def load(path: Path) -> dict[str, Any]:
    settings = yaml.safe_load(path.read_text("utf-8"))
    assert isinstance(settings, dict)
    return settings


MULTI = load(ADAPTERS[GENERALIST])


def optimizer_steps(rows: int, settings: dict[str, Any], *, count_incomplete: bool) -> int:
    """Optimizer steps of a run on one GPU.

    An epoch has `ceil(rows / batch)` batches and a step for every `accumulation` of them. Transformers 5 also counts
    the last, incomplete step of an epoch; the version of the authors' log did not.
    """
    batches = math.ceil(rows / settings["per_device_train_batch_size"])
    whole, rest = divmod(batches, settings["gradient_accumulation_steps"])
    return int(settings["num_train_epochs"]) * (whole + (count_incomplete and rest > 0))


@pytest.mark.parametrize(("key", "value"), (TABLES_1_AND_2 | NOT_IN_THE_TABLES).items())
def test_generalist_holds_the_papers_settings(key: str, value: object) -> None:
    assert MULTI[key] == value


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_files_differ_from_generalist_only_where_stated(path: Path) -> None:
    settings = load(path)
    differing = {key for key in settings.keys() | MULTI.keys() if settings.get(key) != MULTI.get(key)}
    assert differing - {"output_dir"} == DIFFERENCES.get(path.stem, set()) | OF_A_BASE.get(path.parent.name, set())
    assert settings["output_dir"] == f"runs/{name_of(path).removeprefix('presets/')}"
    assert settings["dataset"] == (path.stem if path.stem in ADAPTERS else GENERALIST)


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_header_says_what_it_trains_what_it_needs_and_the_command(path: Path) -> None:
    lines = path.read_text("utf-8").splitlines()
    what, needs, command = lines[:3]
    assert what.startswith("# Trains ")
    assert "authors" in needs.lower() or "paper" in needs.lower()
    words = [word for word in command.removeprefix("# ").split() if not re.fullmatch(r"[A-Z_]+=\d+", word)]
    assert words == ["llamafactory-cli", "train", str(path.relative_to(ROOT))]
    assert lines[3] == ""


def test_folder_holds_exactly_the_adapters_and_their_readme_names_every_file() -> None:
    assert {path.stem for path in FOLDER.glob("*.yaml")} == set(ADAPTERS)
    readme = (FOLDER / "README.md").read_text("utf-8")
    assert [path.stem for path in FILES if f"{path.stem}.yaml" not in readme] == []
    assert [name for name in OTHER_BASES if f"`{name}/`" not in readme] == []


def test_configs_of_other_bases_are_those_that_are_made_from_internvls() -> None:
    command = [sys.executable, str(FOLDER / "make_configs.py"), "--check"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=HANG)
    assert done.returncode == 0, done.stderr
    assert all({path.name for path in paths} == {f"{name}.yaml" for name in ADAPTERS} for paths in OTHER_BASES.values())


def test_a_config_that_was_changed_by_hand_is_found(tmp_path: Path) -> None:
    folder = Path(shutil.copytree(FOLDER, tmp_path / "configs"))
    changed = folder / "medgemma_4b/counting.yaml"
    changed.write_text(changed.read_text("utf-8").replace("seed: 42", "seed: 43"), "utf-8")
    command = [sys.executable, str(folder / "make_configs.py"), "--check"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=HANG)
    assert done.returncode == 1 and f"{changed} is out of date" in done.stderr


def test_prediction_defaults_match_the_training_settings() -> None:
    images, quantization = ImageSettings(), Quantization()
    assert MULTI["default_system"] == PromptSettings().system
    assert MULTI["crop_to_patches"] is images.crop_to_patches
    assert (MULTI["image_min_pixels"], MULTI["image_max_pixels"]) == (images.min_pixels, images.max_pixels)
    assert (MULTI["quantization_type"], MULTI["double_quantization"]) == (quantization.kind, quantization.double)


@pytest.mark.parametrize("task", TASKS.values(), ids=lambda task: task.adapter)
def test_longest_answer_with_all_images_fits_the_cutoff(task: Any) -> None:
    question = 256
    needed = ImageSettings().max_count * IMAGE_TOKENS + question + task.max_new_tokens
    assert needed <= load(ADAPTERS[task.adapter])["cutoff_len"]
    assert (needed > MULTI["cutoff_len"]) == (task.type is TaskType.INSTANCE_DETECTION)


@pytest.mark.parametrize(("preset", "gpus"), [("multi_gpu_deepspeed", 4), ("multi_gpu_ray", 4)])
def test_multi_gpu_presets_keep_the_global_batch(preset: str, gpus: int) -> None:
    settings = load(PRESETS[preset])
    assert gpus * settings["per_device_train_batch_size"] * settings["gradient_accumulation_steps"] == 8
    assert settings.get("ray_num_workers", gpus) == gpus
    if "deepspeed" in settings:
        zero = json.loads((ROOT / settings["deepspeed"]).read_text("utf-8"))
        assert zero["zero_optimization"]["stage"] == 2
        assert zero["train_batch_size"] == zero["gradient_accumulation_steps"] == "auto"


def test_rows_of_the_authors_log_give_its_steps() -> None:
    assert optimizer_steps(68_601, MULTI, count_incomplete=False) == 25_725
    assert optimizer_steps(68_601, MULTI, count_incomplete=True) == 25_728


@pytest.mark.parametrize("steps", [25_725, 25_728])
def test_learning_rate_rises_to_its_peak_at_step_772_and_falls_to_zero(steps: int) -> None:
    optimizer = torch.optim.AdamW([torch.nn.Parameter(torch.zeros(1))], lr=MULTI["learning_rate"])
    warmup = math.ceil(MULTI["warmup_ratio"] * steps)
    schedule = get_linear_schedule_with_warmup(optimizer, warmup, steps)
    rate = [MULTI["learning_rate"] * schedule.lr_lambdas[0](step) for step in range(steps + 1)]
    assert max(range(steps + 1), key=rate.__getitem__) == 772
    assert rate[772] == 2e-4
    assert rate[9] == pytest.approx(2.33e-6, abs=5e-9)  # logged at step 10, before the scheduler's tenth step
    assert rate[steps] == 0


@pytest.mark.model
def test_model_of_the_8b_shape_has_the_logged_parameters() -> None:
    with torch.device("meta"):
        model = InternVLForConditionalGeneration(internvl3_8b())
        assert model.num_parameters() == 7_944_373_760
        targets = rf".*language_model\..*\.({MULTI['lora_target'].replace(',', '|')})"
        adapted = get_peft_model(
            model,
            LoraConfig(r=MULTI["lora_rank"], lora_alpha=MULTI["lora_alpha"], target_modules=targets),
        )
    trainable, total = adapted.get_nb_trainable_parameters()
    assert (trainable, total) == (20_185_088, 7_964_558_848)


@pytest.fixture(scope="module")
def llamafactory_report(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What LLaMA-Factory makes of every file; see parse_configs.py."""
    if not (ROOT / ".venv-train" / "ready").is_file():
        pytest.skip("needs the training environment: make train-env")
    switches = {"ALLOW_EXTRA_ARGS", "USE_RAY", "USE_MCA"}
    environment = {key: value for key, value in os.environ.items() if key not in switches} | {
        "PYTHONPATH": str(ROOT / "training" / "mevlip_training" / "cpu"),
        "HF_HUB_OFFLINE": "1",
        "LLAMAFACTORY_VERBOSITY": "WARN",
    }
    script = Path(__file__).with_name("parse_configs.py")
    done = subprocess.run(
        [TRAIN_PYTHON, script, *PARSED],
        capture_output=True,
        text=True,
        check=False,
        timeout=HANG,
        env=environment,
        cwd=tmp_path_factory.mktemp("empty"),  # so that no run of before is found and resumed
    )
    assert done.returncode == 0, done.stderr[-2000:]
    answer = json.loads(done.stdout.splitlines()[-1])
    assert isinstance(answer, dict)
    return answer


@pytest.mark.parametrize("path", PARSED, ids=name_of)
def test_llamafactory_reads_every_value_as_written(path: Path, llamafactory_report: dict[str, Any]) -> None:
    written = load(path)
    read = llamafactory_report["parsed"][str(path)]
    written.pop("deepspeed", None)  # its package is not installed, see below
    written["lora_target"] = written["lora_target"].split(",")
    written["dataset"] = [written["dataset"]]
    written["report_to"] = []
    assert {key: read[key] for key in written} == written
    assert read["compute_dtype"] == "torch.bfloat16"
    assert read["checkpointed"] is True


@pytest.mark.parametrize("path", PARSED, ids=name_of)
def test_llamafactory_adds_no_system_turn(path: Path, llamafactory_report: dict[str, Any]) -> None:
    prompt = llamafactory_report["parsed"][str(path)]["prompt"]
    opening = "<start_of_turn>user\n" if path.parent.name == "medgemma_4b" else "<|im_start|>user\n"
    assert prompt.startswith(f"{opening}Q<")


def test_llamafactory_refuses_a_misspelled_key(llamafactory_report: dict[str, Any]) -> None:
    assert "['lora_rnak']" in llamafactory_report["misspelled"]


def test_trainer_counts_the_steps_and_the_warm_up_as_computed_here(llamafactory_report: dict[str, Any]) -> None:
    for name in ADAPTERS:
        read = llamafactory_report["parsed"][str(ADAPTERS[name])]
        assert (read["steps"], read["warmup"]) == (optimizer_steps(68_601, MULTI, count_incomplete=True), 772)


def test_adapters_of_qwen3_5_change_every_linear_layer_of_its_language_model(
    llamafactory_report: dict[str, Any],
) -> None:
    for of in llamafactory_report["hybrid"].values():
        assert of == {"base": 9_409_813_744, "trainable": 21_639_168, "outside": []}


@pytest.mark.parametrize("targets", [PROJECTIONS, "all"])
def test_llamafactory_trains_the_language_model_only(targets: str, llamafactory_report: dict[str, Any]) -> None:
    assert llamafactory_report["lora"][targets] == {"base": 7_944_373_760, "trainable": 20_185_088, "outside": []}


def test_ray_is_switched_on_by_the_environment_alone(llamafactory_report: dict[str, Any]) -> None:
    assert "['use_ray']" in llamafactory_report["ray_switch"]
    assert llamafactory_report["ray"] == {"use_ray": True, "ray_num_workers": 4, "ray_init_kwargs": {"address": "auto"}}


def test_multi_gpu_presets_fail_for_nothing_but_their_package_or_launcher(llamafactory_report: dict[str, Any]) -> None:
    deepspeed = llamafactory_report["needs_package"][str(PRESETS["multi_gpu_deepspeed"])]
    assert "deepspeed>=0.9.3" in deepspeed or "FORCE_TORCHRUN=1" in deepspeed
    ray = llamafactory_report["needs_package"].get(str(PRESETS["multi_gpu_ray"]), "'ray' is not defined")
    assert "'ray' is not defined" in ray
