from __future__ import annotations

import json
import shutil
import weakref
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from mevlip.checkpoints.checkpoint import Checkpoint
from mevlip.core.errors import CheckpointError
from mevlip.flare.questions import json_files
from mevlip.predictor import Predictor
from mevlip.settings import PredictorSettings, RunSettings
from mevlip_validation.ablation import SYSTEMS, ablate, answer_all, read_folders, render
from mevlip_validation.cli.ablate import ablate as ablate_command
from mevlip_validation.matching import Row
from mevlip_validation.rewordings import REWORDINGS
from tests.conftest import DEMO, EXAMPLES, FakeModel, call_mevlip

PART = EXAMPLES / "Mammography"


pytestmark = pytest.mark.model


@pytest.fixture(scope="module")
def answered(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, list[Row]], FakeModel, Path]:
    out, model = tmp_path_factory.mktemp("ablation"), FakeModel(lambda adapter, text: adapter)
    predictor = Predictor.find(PredictorSettings(checkpoint=str(DEMO)), load_model=lambda *_: model)
    settings = RunSettings(input=PART, output=out, constrain=False)
    found = answer_all(predictor, settings, *read_folders(PART, PART, out), quiet=True)
    loads = predictor.loads
    assert (loads.verifications, loads.routers, loads.models) == (1, 1, 1)
    return found, model, out


def test_the_model_is_loaded_once_for_all_systems(answered: tuple[dict[str, list[Row]], FakeModel, Path]) -> None:
    found, model, out = answered
    assert list(found) == [system.name for system in SYSTEMS]
    assert model.switches == ["none", "generalist", *["classification"] * 4]
    assert sorted(path.parent.name for path in out.glob("*/predictions.json")) == sorted(
        system.name.replace(" ", "-") for system in SYSTEMS
    )


def test_every_system_answers_the_same_questions(answered: tuple[dict[str, list[Row]], FakeModel, Path]) -> None:
    found, model, _ = answered
    assert {tuple(row.place for row in rows) for rows in found.values()} == {tuple(r.place for r in found["base"])}
    assert all(row.prediction is not None for rows in found.values() for row in rows)
    adapters = {name: {row.explanation.adapter for row in rows if row.explanation} for name, rows in found.items()}
    assert (
        adapters["base"] == {"none"}
        and adapters["generalist"] == {"generalist"}
        and adapters["TS declared"] == {"classification"}
    )
    assert {count for _, _, counts, _ in model.batches[-1:] for count in counts} == {0}, (
        "the last is asked without images"
    )


def test_the_tables_name_systems_and_verdicts(answered: tuple[dict[str, list[Row]], FakeModel, Path]) -> None:
    text = render(ablate(answered[0], resamples=50))
    assert "question only" in text and "TS by router over generalist" in text and "tie" in text
    assert "balanced accuracy" in text and "constant" in text


@pytest.mark.usefixtures("loaded_once")
def test_the_command_writes_every_figure(tmp_path: Path) -> None:
    done = call_mevlip(
        "ablate", PART, "--truth", PART, "--train", EXAMPLES, "--checkpoint", DEMO, "--device", "cpu",
        "--resamples", 20, "--out", tmp_path / "out", "--json", tmp_path / "all.json", "--quiet",
    )  # fmt: skip
    assert done.exit_code == 0, done.stderr
    content = json.loads((tmp_path / "all.json").read_text())
    assert set(content["systems"]) == {system.name for system in SYSTEMS}
    assert {one["verdict"] for one in content["comparisons"]["generalist over base"]} <= {"win", "tie", "lose"}
    assert "Classification" in done.stdout


@pytest.mark.model
@pytest.mark.parametrize(("apart", "reads"), [(False, 1), (True, 2)])
def test_each_distinct_folder_is_read_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, apart: bool, reads: int
) -> None:
    truth = Path(shutil.copytree(PART, tmp_path / "truth")) if apart else PART
    walked: list[Path] = []

    def count(root: Path, *rest: Any) -> Any:
        walked.append(root)
        return json_files(root, *rest)

    for module in ("questions", "ground_truth"):
        monkeypatch.setattr(f"mevlip.flare.{module}.json_files", count)
    monkeypatch.setitem(Predictor.__init__.__kwdefaults__, "load_model", lambda *_: FakeModel())
    command = [str(PART), "--truth", str(truth), "--checkpoint", str(DEMO), "--resamples", "5"]
    done = CliRunner().invoke(ablate_command, [*command, "--out", str(tmp_path / "out"), "--quiet"])
    assert done.exit_code == 0, done.output
    assert len(walked) == reads


def test_another_checkpoint_answers_once_the_first_has_left_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = Path(shutil.copytree(DEMO, tmp_path / "further"))
    models: list[weakref.ref[FakeModel]] = []
    asked: Counter[Path] = Counter()

    def load(checkpoint: Checkpoint, _: PredictorSettings) -> FakeModel:
        assert all(model() is None for model in models)
        model = FakeModel(lambda *_: asked.update([checkpoint.folder]) or "A")
        models.append(weakref.ref(model))
        return model

    monkeypatch.setitem(Predictor.__init__.__kwdefaults__, "load_model", load)
    command = ["--truth", str(PART), "--checkpoint", str(DEMO), "--other", str(other), "--resamples", "20"]
    outputs = ["--out", str(tmp_path / "out"), "--json", str(tmp_path / "all.json"), "--consistency", "--quiet"]
    done = CliRunner().invoke(ablate_command, [str(PART), *command, *outputs])
    assert done.exit_code == 0, done.output
    assert len(models) == 2 and asked[other] == asked.total() / (len(SYSTEMS) + 1 + len(REWORDINGS))
    assert "TS of further over TS by router" in done.stdout
    content = json.loads((tmp_path / "all.json").read_text())
    assert list(content["systems"]) == [*(system.name for system in SYSTEMS), "TS of further"]
    assert set(content["comparisons"]) >= {"TS of further over TS by router"}


def test_another_checkpoint_that_is_not_there_is_refused_before_anything_is_answered(tmp_path: Path) -> None:
    done = call_mevlip(
        "ablate", PART, "--truth", PART, "--checkpoint", DEMO, "--other", "gone", "--out", tmp_path / "o"
    )
    assert isinstance(done.exception, CheckpointError) and "No checkpoint 'gone'" in str(done.exception)
    assert not (tmp_path / "o").exists()
