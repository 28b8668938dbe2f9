from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from safetensors.torch import load_file, save_file

from mevlip.checkpoints.fingerprints import adapter_fingerprint, base_files, base_fingerprint
from mevlip.checkpoints.routes import read_route
from mevlip.core.errors import CheckpointError, EnvironmentProblem, InputError, TrainingFailed
from mevlip_training import adapters as module
from mevlip_training.adapters import pack, train, train_adapters
from mevlip_training.history import RESULTS_NAME, History
from mevlip_training.llamafactory import find_command, run_training
from mevlip_training.resuming import RESOLVED_NAME
from mevlip_training.runs import AdapterRun, disagreements, in_order, plan_run, with_rows
from tests.conftest import DEMO, ROOT, run_mevlip
from tests.training.conftest import COUNTING, route

CONFIGS = ROOT / "llamafactory_configs"
RESULTS = {"train_loss": 1.5, "train_runtime": 3723.2, "epoch": 3.0}


def planned(data: Path, overlay: dict[str, Any] | None = None) -> AdapterRun:
    return plan_run("counting", CONFIGS, data, data.parent / "runs", overlay or {}, None)


def test_a_run_takes_the_published_settings_and_only_paths_differ(data: Path) -> None:
    run = planned(data)
    changed = {key for key in run.settings if run.settings[key] != COUNTING[key]}
    assert changed == {"dataset_dir", "output_dir"}
    assert (run.rows, run.steps) == (5, 3)  # 3 batches of 2, one optimizer step, three epochs


@pytest.mark.parametrize(("rows", "expected"), [(68601, 25728), (16, 6), (17, 9), (1, 3)])
def test_steps_are_counted_as_the_trainer_counts_them(rows: int, expected: int) -> None:
    # The authors' log has 25,725 for 68,601 rows: their version left out an epoch's last, short step.
    assert AdapterRun("counting", CONFIGS, COUNTING, route(), rows).steps == expected


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"prompt": {"system": "Be brief."}}, "default_system"),
        ({"images": {"crop_to_patches": True}}, "crop_to_patches"),
        ({"images": {"max_pixels": 1000}}, "image_max_pixels"),
        ({"images": {"min_pixels": 10}}, "image_min_pixels"),
        ({"quantization": {"double": False}}, "double_quantization"),
        ({"quantization": {"kind": "none"}}, "quantization_type"),
        ({"base_model": "other/model"}, "model_name_or_path"),
        ({"base_revision": "main"}, "model_revision"),
    ],
)
def test_a_route_that_asks_otherwise_is_refused(changes: dict[str, Any], named: str) -> None:
    assert not disagreements(COUNTING, route())
    assert [line.split()[0] for line in disagreements(COUNTING, route(**changes))] == [named]


def test_a_route_with_other_tiles_than_llamafactory_cuts_is_refused() -> None:
    tiled = {**COUNTING, "crop_to_patches": True}
    assert not disagreements(tiled, route(images={"crop_to_patches": True}))
    [line] = disagreements(tiled, route(images={"crop_to_patches": True, "max_patches": 6}))
    assert line == "max_patches is 12 here and 6 there"
    assert not disagreements(COUNTING, route(images={"max_patches": 6}))  # nothing is cut


def test_the_image_processor_of_training_is_the_predictors(data: Path) -> None:
    with pytest.raises(InputError, match="use_fast_tokenizer is True here and False there"):
        planned(data, {"use_fast_tokenizer": True})


def recipe_says(data: Path, **settings: Any) -> None:
    """Leaves the overlay that a recipe would."""
    (data / "overlays").mkdir(exist_ok=True)
    (data / "overlays" / "counting.yaml").write_text(yaml.safe_dump(settings), "utf-8")


def test_a_recipe_replaces_the_configs_settings_and_the_users_overlay_both(data: Path) -> None:
    recipe_says(data, lora_rank=32, learning_rate=1.0e-4)
    assert planned(data).settings == planned(data, {}).settings
    settings = planned(data, {"learning_rate": 1.0e-5}).settings
    changed = {key: settings[key] for key in settings if settings[key] != COUNTING.get(key)}
    del changed["dataset_dir"], changed["output_dir"]
    assert changed == {"lora_rank": 32, "learning_rate": 1.0e-5}


def test_a_run_that_starts_from_another_gets_its_folder_and_comes_after_it(data: Path) -> None:
    recipe_says(data, adapter_name_or_path="generalist")
    run = planned(data)
    assert run.start == "generalist"
    assert run.settings["adapter_name_or_path"] == str((data.parent / "runs" / "generalist").resolve())
    first = replace(planned(data, {"adapter_name_or_path": None}), adapter="generalist")
    assert [one.adapter for one in in_order([run, first])] == ["generalist", "counting"]


def finish(output: Path) -> None:
    """Leaves what makes a run finished."""
    output.mkdir(parents=True, exist_ok=True)
    (output / RESULTS_NAME).write_text(json.dumps(RESULTS), "utf-8")
    (output / module.WEIGHTS_NAME).write_text("first")


def test_a_start_that_is_not_trained_yet_is_named_with_the_command(data: Path) -> None:
    recipe_says(data, adapter_name_or_path="generalist")
    with pytest.raises(InputError, match="'generalist'.*--task generalist --task counting.*packed.*--overlay"):
        in_order([planned(data)])
    finished = data.parent / "runs" / "generalist"
    finished.mkdir(parents=True)
    finish(finished)
    assert [run.adapter for run in in_order([planned(data)])] == ["counting"]


def test_runs_that_start_from_each_other_are_refused(data: Path) -> None:
    one = replace(planned(data), start="detection")
    other = replace(planned(data), adapter="detection", start="counting")
    with pytest.raises(InputError, match="in a circle"):
        in_order([one, other])


@pytest.mark.slow
def test_a_second_stage_from_weights_trained_anew_is_not_taken_for_the_same_run(data: Path, fake_cli: Path) -> None:
    recipe_says(data, adapter_name_or_path="generalist")
    with pytest.raises(InputError, match="starts from 'generalist', whose run in .* is not finished"):
        train(planned(data), quiet=True)
    start = data.parent / "runs" / "generalist"
    start.mkdir(parents=True)
    finish(start)
    train(planned(data), quiet=True)
    train(planned(data), quiet=True)
    assert (planned(data).output / "calls").read_text() == "train\n"
    (start / module.WEIGHTS_NAME).write_text("second")
    with pytest.raises(InputError, match="from another start"):
        train(planned(data), quiet=True)


def test_a_place_of_the_users_own_to_start_from_is_handed_on(data: Path) -> None:
    run = planned(data, {"adapter_name_or_path": "elsewhere/adapter"})
    assert (run.start, run.settings["adapter_name_or_path"]) == (None, "elsewhere/adapter")
    assert (run.start_name, planned(data).start_name) == ("elsewhere/adapter", "fresh")


@pytest.mark.slow
def test_a_packed_adapter_can_be_started_from_in_place_of_a_run(data: Path, tmp_path: Path, fake_cli: Path) -> None:
    recipe_says(data, adapter_name_or_path="generalist")
    packed = tmp_path / "packed"
    packed.mkdir()
    (packed / module.WEIGHTS_NAME).write_text("first")
    overlay = {"adapter_name_or_path": str(packed)}
    run = planned(data, overlay)
    assert in_order([run]) == [run]
    train(run, quiet=True)
    assert hashlib.sha256(b"first").hexdigest() in (run.output / RESOLVED_NAME).read_text()
    (packed / module.WEIGHTS_NAME).write_text("second")
    with pytest.raises(InputError, match="from another start"):
        train(planned(data, overlay), quiet=True)


def test_missing_rows_are_named_with_the_remedy(data: Path) -> None:
    (data / "counting.jsonl").unlink()
    with pytest.raises(InputError, match=r"counting\.jsonl does not exist.*mevlip data prepare"):
        planned(data)


def test_without_a_choice_the_adapters_that_have_rows_are_trained_and_the_others_named(
    data: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (data / "detection.jsonl").touch()
    assert with_rows(data) == ["counting"]
    assert "no rows for generalist, classification, multi_label_classification, detection" in caplog.text
    with pytest.raises(InputError, match="has no training data"):
        with_rows(tmp_path)


@pytest.mark.slow
def test_a_finished_run_is_not_repeated(data: Path, fake_cli: Path) -> None:
    run = planned(data)
    train(run, quiet=True)
    train(run, quiet=True)
    assert (run.output / "calls").read_text() == "train\n"
    assert yaml.safe_load((run.output / "config.yaml").read_text("utf-8")) == run.settings


@pytest.mark.slow
def test_a_folder_with_another_run_is_left_alone(data: Path, fake_cli: Path) -> None:
    train(planned(data), quiet=True)
    with pytest.raises(InputError, match="holds a run with other settings"):
        train(planned(data, {"learning_rate": 1.0e-5}), quiet=True)


@pytest.mark.slow
def test_rows_that_were_prepared_anew_are_another_run(data: Path, fake_cli: Path) -> None:
    """A finished run of the former rows must not pass for theirs."""
    train(planned(data), quiet=True)
    (data / "counting.jsonl").write_text('{"id": "b"}\n' * 5, "utf-8")
    with pytest.raises(InputError, match="of other rows"):
        train(planned(data), quiet=True)


@pytest.mark.slow
def test_a_packed_adapter_has_all_that_a_checkpoint_needs_and_no_path(data: Path, fake_cli: Path) -> None:
    run = planned(data)
    folder = data.parent / "adapters"
    rows = train_adapters([run], folder, quiet=True)
    assert rows == [("counting", 5, 2, 1.5, 2, "-", "1:02:03")]
    packed = folder / "counting"
    assert {path.name for path in packed.iterdir()} == {
        "adapter_model.safetensors", "adapter_config.json", "route.json", "README.md",
    }  # fmt: skip
    assert {value.dtype for value in load_file(packed / "adapter_model.safetensors").values()} == {torch.bfloat16}
    config = json.loads((packed / "adapter_config.json").read_bytes())
    assert config["base_model_name_or_path"] == "OpenGVLab/InternVL3-8B-hf"
    assert config["target_modules"] == ["k", "q"]
    card = (packed / "README.md").read_text("utf-8")
    assert "5 rows" in card and "| lora_rank | 8 |" in card and "| mean loss of all steps | 1.5000 |" in card
    assert "| optimizer steps | 2 |" in card and "| rows seen | 15, in 3 epochs |" in card
    for path in packed.iterdir():
        assert b"/secret" not in path.read_bytes() and str(data).encode() not in path.read_bytes()


@pytest.mark.slow
@pytest.mark.parametrize("where", ["folder", "cache"])
def test_a_packed_route_identifies_its_weights_and_its_base(
    data: Path, fake_cli: Path, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    run = planned(data)
    expected = base_fingerprint(DEMO / "base", base_files(DEMO / "base"))
    if where == "folder":
        run = replace(run, settings={**run.settings, "model_name_or_path": str(DEMO / "base")})
    else:  # as the hub's client lays its files out
        cache = data.parent / "cache"
        snapshot = cache / f"models--OpenGVLab--InternVL3-8B-hf/snapshots/{run.settings['model_revision']}"
        snapshot.parent.mkdir(parents=True)
        snapshot.symlink_to(DEMO / "base")
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(cache))
        monkeypatch.setattr("huggingface_hub.file_download.HF_HUB_CACHE", str(cache), raising=False)
    folder = data.parent / "adapters"
    train_adapters([run], folder, quiet=True)
    packed = read_route(folder / "counting")
    assert packed == run.route.model_copy(
        update={"base_fingerprint": expected, "adapter_fingerprint": adapter_fingerprint(folder / "counting")}
    )
    assert f"weights `{expected.weights}`" in (folder / "counting/README.md").read_text("utf-8")


@pytest.mark.slow
@pytest.mark.parametrize("cached", ["nothing", "a part"])
def test_a_base_whose_files_are_elsewhere_is_left_to_assembling_and_said_so(
    data: Path, fake_cli: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, cached: str
) -> None:
    part = None
    if cached == "a part":
        part = data.parent / "part"
        part.mkdir()
        (part / "config.json").write_text("{}", "utf-8")
    monkeypatch.setattr("mevlip_training.bases.find_cached", lambda *_: part)
    train_adapters([planned(data)], data.parent / "adapters", quiet=True)
    packed = read_route(data.parent / "adapters/counting")
    assert packed.base_fingerprint is None and packed.adapter_fingerprint is not None
    assert "counting: the files of its base, OpenGVLab/InternVL3-8B-hf, were not found on this machine" in caplog.text


@pytest.mark.slow
def test_a_base_is_hashed_once_and_before_hours_of_training(
    data: Path, fake_cli: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    calls: list[str] = []
    known = base_fingerprint(DEMO / "base", base_files(DEMO / "base"))
    monkeypatch.setattr(module, "identify_base", lambda *_: calls.append("base") or known)
    monkeypatch.setattr(module, "train", lambda run, quiet: calls.append("train"))
    monkeypatch.setattr(module, "pack", lambda *_: calls.append("pack") or History(1, 1, 1, 1, 1))
    train_adapters([planned(data)] * 2, data.parent / "adapters", quiet=True)
    assert calls == ["base", "train", "pack", "train", "pack"]
    monkeypatch.undo()
    broken = planned(data, {"model_name_or_path": str(tmp_path)})
    with pytest.raises(CheckpointError, match=r"has no config\.json"):
        train_adapters([broken], data.parent / "adapters", quiet=True)
    assert not (broken.output / "calls").exists()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("weights", "cause"),
    [
        ({"x.lora_A.weight": torch.ones(2), "x.lora_B.weight": torch.zeros(2)}, "all zero"),
        ({"x.lora_A.weight": torch.tensor([1.0, float("nan")])}, "not finite"),
    ],
)
def test_weights_that_learned_nothing_are_not_packed(
    data: Path, fake_cli: Path, weights: dict[str, torch.Tensor], cause: str
) -> None:
    run = planned(data)
    train(run, quiet=True)
    save_file(weights, run.output / module.WEIGHTS_NAME)
    with pytest.raises(CheckpointError, match=f"'counting'.*{cause}"):
        pack(run, data.parent / "adapters" / "counting", None)


def test_a_failed_training_shows_its_last_lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = tmp_path / "llamafactory-cli"
    script.write_text("#!/bin/sh\necho out of memory\nexit 7\n")
    script.chmod(0o755)
    monkeypatch.setattr("mevlip_training.llamafactory.find_command", lambda: script)
    with pytest.raises(TrainingFailed, match=r"status 7: out of memory.*train\.log"):
        run_training(tmp_path / "x.yaml", tmp_path / "out", lambda done, total: None)


def test_without_llamafactory_the_error_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mevlip_training.llamafactory._ROOT", tmp_path)
    monkeypatch.setattr("sys.executable", str(tmp_path / "python"))
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(EnvironmentProblem, match=r"llamafactory-cli was not found.*make train-env") as caught:
        find_command()
    assert caught.value.exit_code == 3


def test_a_dry_run_shows_the_plan_and_writes_nothing(data: Path, tmp_path: Path) -> None:
    out = tmp_path / "runs"
    done = run_mevlip(
        "train", "adapters", data, "--task", "counting", "--config-dir", CONFIGS, "--out", out, "--dry-run"
    )
    assert done.returncode == 0, done.stderr
    assert "counting 5 - 3 -" in " ".join(done.stdout.split())
    assert not out.exists()


@pytest.mark.parametrize(
    ("model_type", "template", "gap", "cause"),
    [
        ("gemma3", "intern_vl", "", "template is 'intern_vl' here and 'gemma3' for this base"),
        ("gemma3", "gemma3", "\n", "the rows' images are followed by what another base's chat template writes"),
        ("internvl", "intern_vl", "", "the rows' images are followed by what another base's chat template writes"),
        ("qwen2_5_vl", "qwen2_vl", "", None),
        ("internvl", "intern_vl", "\n", None),
        ("llava", "llava", "", None),
    ],
)
def test_a_config_and_rows_for_a_base_of_another_family_are_refused(
    data: Path, tmp_path: Path, model_type: str, template: str, gap: str, cause: str | None
) -> None:
    base = tmp_path / "base"
    base.mkdir()
    (base / "config.json").write_text(json.dumps({"model_type": model_type}), "utf-8")
    turns = [{"from": "human", "value": f"<image>{gap}<image>{gap}Which?"}, {"from": "gpt", "value": "A"}]
    (data / "counting.jsonl").write_text(json.dumps({"conversations": turns}) + "\n", "utf-8")
    overlay = {"model_name_or_path": str(base), "template": template}
    if cause is None:
        assert planned(data, overlay).rows == 1
    else:
        with pytest.raises(InputError, match="are not for") as caught:
            planned(data, overlay)
        assert cause in caught.value.cause


def test_a_base_in_internvls_original_layout_is_refused_with_the_command_that_converts_it(
    data: Path, tmp_path: Path
) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "internvl_chat"}')
    with pytest.raises(CheckpointError, match="mevlip checkpoint convert"):
        planned(data, {"model_name_or_path": str(tmp_path)})
