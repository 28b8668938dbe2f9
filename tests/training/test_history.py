from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mevlip_training.history import note_start, read_history, read_log, read_results

RESULTS = {"train_loss": 0.1, "train_runtime": 50.5, "epoch": 3.0}


def log(folder: Path, *starts: list[tuple[int, float | None, int]], total: int = 40) -> Path:
    """Writes the log of several starts: step, loss and seconds of each entry."""
    for start in starts:
        note_start(folder)
        with (folder / "trainer_log.jsonl").open("a") as file:
            for step, loss, seconds in start:
                entry = {"current_steps": step, "total_steps": total, "elapsed_time": str(timedelta(seconds=seconds))}
                file.write(json.dumps(entry | ({} if loss is None else {"loss": loss})) + "\n")
    return folder


def test_a_run_of_one_start_has_the_figures_of_its_end(tmp_path: Path) -> None:
    log(tmp_path, [(10, 4.0, 10), (20, 3.0, 20), (40, 1.0, 40), (40, None, 41)])
    history = read_history(tmp_path, RESULTS)
    assert (history.steps, history.epochs, history.loss, history.seconds, history.starts) == (40, 3.0, 0.1, 50.5, 1)


def test_loss_and_time_of_a_resumed_run_are_of_all_its_starts(tmp_path: Path) -> None:
    # Stopped after step 30, resumed from 20: LLaMA-Factory's own results are of the last twenty steps.
    log(tmp_path, [(10, 4.0, 100), (20, 3.0, 200), (30, 9.0, 300)], [(30, 2.0, 10), (40, 1.0, 40), (40, None, 41)])
    history = read_history(tmp_path, RESULTS)
    assert (history.steps, history.loss, history.seconds, history.starts) == (40, 2.5, 350.5, 2)


def test_a_start_that_logged_nothing_is_none_and_days_are_read(tmp_path: Path) -> None:
    log(tmp_path, [(10, 4.0, 90_000)], [], [(20, 2.0, 90_030), (30, 2.0, 90_060), (40, 2.0, 90_090)])
    history = read_history(tmp_path, RESULTS)
    assert (history.loss, history.seconds, history.starts) == (2.5, 90_050.5, 2)


@given(st.binary(max_size=200))
def test_a_log_of_any_content_is_read(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    folder = tmp_path_factory.mktemp("log")
    (folder / "trainer_log.jsonl").write_bytes(b'{"current_steps": 1, "total_steps": 2}\n' + content)
    assert read_log(folder)[0]["current_steps"] == 1


@pytest.mark.parametrize("content", [None, "", '{"train_loss": 1', "[]", '{"train_loss": 1}', "3"])
def test_results_that_are_written_by_half_are_none(tmp_path: Path, content: str | None) -> None:
    if content is not None:
        (tmp_path / "train_results.json").write_text(content)
    assert read_results(tmp_path) is None
