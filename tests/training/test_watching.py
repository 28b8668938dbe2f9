"""Validation rows during training: the settings that LLaMA-Factory gets, and which step is packed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mevlip.core.errors import CheckpointError, InputError, TrainingFailed
from mevlip_training.adapters import HEADER, train, train_adapters
from mevlip_training.history import Validated, read_history
from mevlip_training.resuming import check_best_kept
from mevlip_training.runs import AdapterRun, count_steps, plan_run, read_yaml, watching
from tests.conftest import DEMO, ROOT
from tests.training.conftest import COUNTING

CONFIGS = ROOT / "llamafactory_configs"
RESULTS = {"train_loss": 1.5, "train_runtime": 3723.2, "epoch": 3.0}


@pytest.fixture
def watched(data: Path) -> Path:
    """The prepared folder with three validation rows."""
    (data / "counting_validation.jsonl").write_text('{"id": "v"}\n' * 3, "utf-8")
    return data


def planned(data: Path, **overlay: Any) -> AdapterRun:
    return plan_run("counting", CONFIGS, data, data.parent / "runs", overlay, None)


def test_validation_rows_are_evaluated_where_steps_are_saved(watched: Path) -> None:
    run = planned(watched)
    changed = {key: run.settings[key] for key in run.settings if run.settings[key] != COUNTING.get(key)}
    del changed["dataset_dir"], changed["output_dir"]
    assert changed == {
        "eval_dataset": "counting_validation",
        "eval_strategy": "steps",
        "eval_steps": 10,
        "save_strategy": "steps",
        "save_steps": 10,
        "per_device_eval_batch_size": 2,
        "load_best_model_at_end": True,
        "metric_for_best_model": "eval_loss",
        "greater_is_better": False,
    }
    assert (run.rows, run.validation) == (5, 3)


def test_without_validation_rows_a_run_is_the_papers(data: Path) -> None:
    assert planned(data).validation == 0 and "eval_dataset" not in planned(data).settings


@pytest.mark.parametrize("own", [{"eval_strategy": "no"}, {"val_size": 0.1}, {"eval_dataset": "mine"}])
def test_a_config_that_evaluates_by_itself_or_never_stays_as_it_is(watched: Path, own: dict[str, Any]) -> None:
    run = planned(watched, **own)
    (watched / "counting_validation.jsonl").unlink()
    assert run == planned(watched, **own) and run.validation == 0


@given(st.integers(1, 100_000), st.sampled_from([1, 5, 10]), st.sampled_from([100, 500, 0.2]))
def test_a_run_is_evaluated_ten_times_and_between_logged_steps(rows: int, logged: int, saved: float) -> None:
    settings = COUNTING | {"logging_steps": logged, "save_steps": saved}
    interval, steps = watching("counting", settings, rows)["save_steps"], count_steps(settings, rows)
    assert interval % logged == 0
    assert interval == logged or (interval <= steps / 10 and (saved < 1 or interval <= saved))
    assert interval > min(steps / 10, saved if saved > 1 else steps * saved) - logged - 1


def test_validation_rows_beyond_the_cutoff_are_refused(data: Path) -> None:
    base = DEMO / "base"
    turns = [{"from": "human", "value": "How many?"}, {"from": "gpt", "value": "3"}]
    long = [turns[0], {"from": "gpt", "value": "3 " * 100}]
    for name, said in (("counting", turns), ("counting_validation", long)):
        row = {"id": name, "conversations": said, "images": []}
        (data / f"{name}.jsonl").write_text(json.dumps(row) + "\n", "utf-8")
    with pytest.raises(InputError, match=r"counting_validation\.jsonl has 1 of 1 rows that are longer"):
        plan_run("counting", CONFIGS, data, data.parent / "runs", {"cutoff_len": 50}, str(base))


@pytest.mark.slow
def test_table_and_card_name_the_step_that_is_packed(watched: Path, fake_cli: Path) -> None:
    folder = watched.parent / "adapters"
    [row] = train_adapters([planned(watched)], folder, quiet=True)
    assert dict(zip(HEADER, row, strict=True)) == {
        "adapter": "counting", "rows": 5, "steps": 2, "loss": 1.5, "kept step": 1, "validation loss": 0.25,
        "time": "1:02:03",
    }  # fmt: skip
    card = (folder / "counting" / "README.md").read_text("utf-8")
    assert "| kept step | 1, the one with the least validation loss |" in card
    assert "| validation loss of this step | 0.2500 |" in card and "of the last step | 0.7500 |" in card
    assert "- Validation: 3 rows, sha256 of the file `" in card


@pytest.mark.slow
def test_a_run_that_ended_with_another_steps_weights_is_not_finished(
    watched: Path, fake_cli: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = planned(watched)
    real = check_best_kept

    def damaged(output: Path, step: int) -> None:
        (output / f"checkpoint-{step}" / "adapter_model.safetensors").write_bytes(b"other")
        real(output, step)

    monkeypatch.setattr("mevlip_training.adapters.check_best_kept", damaged)
    with pytest.raises(TrainingFailed, match="other weights than those of step 1"):
        train(run, quiet=True)
    assert not run.finished


def state(folder: Path, content: object) -> Path:
    (folder / "trainer_state.json").write_text(json.dumps(content), "utf-8")
    return folder


def test_the_best_step_is_that_of_all_starts(tmp_path: Path) -> None:
    # The Trainer resumed from step 4: its state has the evaluations before it, too.
    history = [{"step": step, "eval_loss": loss} for step, loss in ((2, 0.5), (4, 0.75), (6, 1.0))]
    state(tmp_path, {"best_global_step": 2, "log_history": [{"step": 2, "loss": 9.0}, *history]})
    assert read_history(tmp_path, RESULTS, validated=True).validated == Validated(2, 0.5, 1.0)
    assert read_history(tmp_path, RESULTS).validated is None


@pytest.mark.parametrize(
    "content",
    [[], {}, {"best_global_step": None, "log_history": []}, {"best_global_step": 3, "log_history": [{"step": 3}]}],
)
def test_a_record_without_a_best_step_is_named(tmp_path: Path, content: object) -> None:
    with pytest.raises(CheckpointError, match=r"trainer_state\.json does not tell the step"):
        read_history(state(tmp_path, content), RESULTS, validated=True)


def test_every_config_can_be_watched() -> None:
    for path in CONFIGS.rglob("*.yaml"):
        settings = read_yaml(path)
        added, steps = watching(path.stem, settings, 68_601), count_steps(settings, 68_601)
        assert added["save_steps"] == added["eval_steps"], path
        assert added["eval_steps"] == 500 or steps // 11 < added["eval_steps"] <= steps // 10 < 500, path
