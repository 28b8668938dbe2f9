from __future__ import annotations

import json
from pathlib import Path

import pytest

from mevlip.checkpoints.checkpoint import Checkpoint
from mevlip.inference.engine import Model
from mevlip.run.settings import Settings
from mevlip_validation.ablation import SYSTEMS, ablate, answer_all, render
from mevlip_validation.matching import Row, read_truth
from tests.conftest import DEMO, EXAMPLES, FakeModel, run_mevlip

PART = EXAMPLES / "Mammography"


class Loader:
    """Counts how often the model is loaded."""

    def __init__(self) -> None:
        self.models: list[FakeModel] = []

    def __call__(self, checkpoint: Checkpoint, device: str) -> Model:
        self.models.append(FakeModel(lambda adapter, text: adapter))
        return self.models[-1]


@pytest.fixture(scope="module")
def answered(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, list[Row]], FakeModel, Path]:
    out, load = tmp_path_factory.mktemp("ablation"), Loader()
    settings = Settings(input=PART, output=out, checkpoint=str(DEMO), constrain=False)
    found = answer_all(settings, read_truth(PART), load_model=load, quiet=True)
    [model] = load.models
    return found, model, out


def test_the_model_is_loaded_once_for_all_systems(answered: tuple[dict[str, list[Row]], FakeModel, Path]) -> None:
    found, model, out = answered
    assert list(found) == [system.name for system in SYSTEMS]
    assert model.switches == ["base", "generalist", *["classification"] * 4]
    assert sorted(path.parent.name for path in out.glob("*/predictions.json")) == sorted(
        system.name.replace(" ", "-") for system in SYSTEMS
    )


def test_every_system_answers_the_same_questions(answered: tuple[dict[str, list[Row]], FakeModel, Path]) -> None:
    found, model, _ = answered
    assert {tuple(row.place for row in rows) for rows in found.values()} == {tuple(r.place for r in found["base"])}
    assert all(row.prediction is not None for rows in found.values() for row in rows)
    adapters = {name: {row.explanation.adapter for row in rows if row.explanation} for name, rows in found.items()}
    assert (
        adapters["base"] == {"base"}
        and adapters["MT"] == {"generalist"}
        and adapters["TS declared"] == {"classification"}
    )
    assert {count for _, _, counts, _ in model.batches[-1:] for count in counts} == {0}, (
        "the last is asked without images"
    )


def test_the_tables_name_systems_and_verdicts(answered: tuple[dict[str, list[Row]], FakeModel, Path]) -> None:
    text = render(ablate(answered[0], resamples=50))
    assert "question only" in text and "TS by router over MT" in text and "tie" in text
    assert "balanced accuracy" in text and "constant" in text


def test_the_command_writes_every_figure(tmp_path: Path) -> None:
    done = run_mevlip(
        "ablate", PART, "--truth", PART, "--train", EXAMPLES, "--checkpoint", DEMO, "--device", "cpu",
        "--resamples", 20, "--out", tmp_path / "out", "--json", tmp_path / "all.json", "--quiet",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    content = json.loads((tmp_path / "all.json").read_text())
    assert set(content["systems"]) == {system.name for system in SYSTEMS}
    assert {one["verdict"] for one in content["comparisons"]["MT over base"]} <= {"win", "tie", "lose"}
    assert "Classification" in done.stdout
