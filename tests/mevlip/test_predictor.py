from __future__ import annotations

import json
import weakref
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from mevlip.core.errors import CheckpointError, EnvironmentProblem, InputError, ModelFailure, TooManyFailures
from mevlip.predictor import Predictor
from mevlip.runs.folder import run_folder
from mevlip.runs.journal import journals
from mevlip.runs.report import RunReport, check_failures
from mevlip.settings import PredictorSettings, RunSettings
from mevlip.tasks import TASKS, TaskType
from mevlip_training.demo.wordings import DATASETS
from tests.conftest import DEMO, EXAMPLES, FLARE_DATA, FakeModel, answer_folder, first_of_each, needs_flare_data, record

Write = Callable[..., Path]

LEGAL = {
    "classification": "B",
    "multi_label_classification": "Gap",
    "detection": "[[0, 0, 500, 500]]",
    "instance_detection": '{"1": [[0, 0, 500, 500]]}',
    "counting": "7",
    "regression": "12.5",
    "report_generation": "Nothing to see.",
    "generalist": "7",
}


def legal_model() -> FakeModel:
    return FakeModel(lambda adapter, text: LEGAL[adapter])


def run(root: Path, output: Path, model: FakeModel | None = None, **options: Any) -> RunReport:
    return answer_folder(root, output, model or legal_model(), **options)


def rows(output: Path) -> list[dict[str, Any]]:
    content: list[dict[str, Any]] = json.loads((output / "predictions.json").read_bytes())
    return content


@pytest.mark.model
def test_every_record_comes_back_in_order_and_unchanged_but_for_its_answer(tmp_path: Path) -> None:
    run(EXAMPLES, tmp_path)
    asked = [one for path in sorted(EXAMPLES.rglob("*_val.json")) for one in json.loads(path.read_bytes())]
    answers = rows(tmp_path)
    assert [{**row, "Answer": ""} for row in answers] == asked
    assert all(row["Answer"] for row in answers)
    assert [p.name for p in tmp_path.iterdir()] == ["predictions.json"]


@pytest.mark.model
def test_the_question_decides_where_task_types_are_hidden_or_wrong(write_questions: Write, tmp_path: Path) -> None:
    texts = [
        "How many cells lie in this field?",
        "Give the bone loss as a percentage.",
        "Report on the lungs in this film.",
    ]
    root = write_questions(
        [record(text, TaskType=kind) for text, kind in zip(texts, ("", "Classification", 5), strict=True)]
    )
    report = run(root, tmp_path / "out")
    assert [result.adapter for result in report.answers] == ["counting", "regression", "report_generation"]


@pytest.mark.model
def test_folder_modality_and_file_names_play_no_part(write_questions: Write, tmp_path: Path) -> None:
    text = "How many cells lie in this field?"
    a = run(write_questions([record(text)], folder="Xray/a"), tmp_path / "1").answers[0]
    misleading = record(text, image="detection/report.png", Modality="Ultrasound", TaskType="detection")
    (tmp_path / "in/Xray/a/set_questions_val.json").unlink()
    b = run(
        write_questions([misleading], folder="Detection/boxes", name="boxes_questions_test.json"), tmp_path / "2"
    ).answers[0]
    assert (a.task, a.adapter, a.confidence, a.text) == (b.task, b.adapter, b.confidence, b.text)


@pytest.mark.model
@pytest.mark.parametrize(
    ("options", "adapters"),
    [
        ({"routing": "declared"}, {"regression"}),
        ({"routing": "generalist"}, {"generalist"}),
        ({"routing": "router"}, {"counting"}),
        ({"routing": "router", "threshold": 1.0}, {"generalist"}),
    ],
)
def test_routing_modes(write_questions: Write, tmp_path: Path, options: dict[str, Any], adapters: set[str]) -> None:
    root = write_questions([record("How many cells lie in this field?", TaskType="regression")])
    assert {result.adapter for result in run(root, tmp_path / "out", **options).answers} == adapters


@pytest.mark.model
def test_one_adapter_switch_per_adapter_and_one_router_run_per_distinct_question(tmp_path: Path) -> None:
    model = legal_model()
    counters = run(EXAMPLES, tmp_path, model).counters
    assert counters.questions == 54
    assert counters.adapter_switches == len(set(model.switches)) == len(model.switches)
    assert counters.router_forwards == 2, "at most 54 distinct questions in batches of 32"
    # Three data sets of three photos, two views and one view: 3 x 3 + 3 x 2 + 48 images, three named twice in a batch.
    assert counters.pictures_decoded == 60


def test_an_interrupted_run_goes_on_where_it_stopped(write_questions: Write, tmp_path: Path) -> None:
    root = write_questions([record(f"Which number {i}? A: x, B: y") for i in range(12)])
    calls = iter(range(100))

    def stop_at_third_call(adapter: str, text: str) -> str:
        if next(calls) == 7:
            raise KeyboardInterrupt
        return "B"

    with pytest.raises(KeyboardInterrupt):
        run(root, tmp_path / "out", FakeModel(stop_at_third_call), batch_tokens=100, routing="declared")
    assert not (tmp_path / "out/predictions.json").exists()
    assert journals(tmp_path / "out")
    model = FakeModel(lambda *_: "A")
    report = run(root, tmp_path / "out", model, batch_tokens=100, routing="declared")
    assert report.resumed == 6
    assert sum(len(batch[1]) for batch in model.batches) == 6
    assert sorted(row["Answer"] for row in rows(tmp_path / "out")) == ["A"] * 6 + ["B"] * 6
    assert not journals(tmp_path / "out")


@pytest.mark.model
def test_two_runs_of_the_real_model_are_byte_identical(tmp_path: Path) -> None:
    root = first_of_each(tmp_path / "in")
    for name in ("first", "second"):
        answer_folder(root, tmp_path / name, device="cpu")
    first, second = ((tmp_path / name / "predictions.json").read_bytes() for name in ("first", "second"))
    assert first == second


@pytest.mark.model
def test_a_closed_predictor_has_left_memory_and_loads_again_when_it_is_asked() -> None:
    predictor = Predictor.load(DEMO, "cpu")
    ask = partial(predictor.ask, "How many cells are in this field? ", task="counting")
    first, model = ask().text, weakref.ref(predictor.model)
    predictor.close()
    assert model() is None
    assert ask().text == first
    assert (predictor.loads.models, predictor.loads.routers, predictor.loads.verifications) == (2, 1, 1)


@pytest.mark.model
def test_a_finished_journal_needs_no_model(
    write_questions: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = write_questions([record()])

    def no_disk(*_: object) -> Path:
        raise EnvironmentProblem("disk full", "Free some.")

    with monkeypatch.context() as patch:
        patch.setattr("mevlip.runs.folder.write_predictions", no_disk)
        with pytest.raises(EnvironmentProblem):
            run(root, tmp_path / "out")

    def no_model(*_: object) -> FakeModel:
        raise AssertionError("the model is not needed")

    predictor = Predictor.find(PredictorSettings(checkpoint="demo"), load_model=no_model)
    assert run_folder(predictor, RunSettings(input=root, output=tmp_path / "out"), quiet=True).resumed == 1


@pytest.mark.model
def test_the_limit_is_loud(write_questions: Write, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    root = write_questions([record(f"{i}? A: x, B: y") for i in range(5)])
    assert len(run(root, tmp_path / "out", limit=2).answers) == 2
    assert "PARTIAL OUTPUT: --limit leaves 3 questions out" in caplog.text


@pytest.mark.model
def test_each_failed_question_is_named_with_its_place(
    write_questions: Write, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    root = write_questions([record(image="a.png"), *[record(image=["a.png", f"gone{i}.png"]) for i in range(60)]])
    for path in root.rglob("gone*.png"):
        path.unlink()
    report = run(root, tmp_path / "out")
    assert not report.fallbacks, "one readable image is enough"
    warnings = [r.getMessage() for r in caplog.records if r.levelname == "WARNING" and "gone" in r.getMessage()]
    assert len(warnings) == 50
    assert warnings[0] == "Xray/set/set_questions_val.json[1]: image 'gone0.png': not found beside its question file"
    assert "... and 10 more such questions" in caplog.text


def mostly_legal(nonsense: int) -> FakeModel:
    """A model that says nothing of use to that many questions."""
    return FakeModel(lambda adapter, text: "???" if int(text.split()[1].rstrip("?")) < nonsense else "B")


@pytest.mark.parametrize(("nonsense", "limit", "passes"), [
    (2, "5%", True), (3, "5%", False), (3, "3", True), (3, "2", False), (40, "100%", True), (1, "0", False),
])  # fmt: skip
def test_too_many_failures_of_the_model_leave_a_valid_output(
    write_questions: Write, tmp_path: Path, nonsense: int, limit: str, passes: bool
) -> None:
    root = write_questions([record(f"Number {i}? A: x, B: y", image=f"{i}.png") for i in range(40)])
    settings = RunSettings(input=root, output=tmp_path / "out", max_failures=limit)
    report = run(root, settings.output, mostly_legal(nonsense), routing="declared")
    assert len(report.failures) == nonsense
    if passes:
        check_failures(report, settings)
    else:
        with pytest.raises(TooManyFailures, match=f"failed on {nonsense} of 40.*neither a letter") as caught:
            check_failures(report, settings)
        assert caught.value.exit_code == 4
    assert len(rows(tmp_path / "out")) == 40


@pytest.mark.model
def test_unusable_records_are_no_failures_of_the_model(write_questions: Write, tmp_path: Path) -> None:
    root = write_questions([record(image="a.png"), record(image="b.png"), record("", image="a.png")])
    (root / "Xray/set/b.png").unlink()
    report = run(root, tmp_path / "out")
    assert (report.fallbacks, report.failures) == (2, ())
    check_failures(report, RunSettings(input=root, output=tmp_path, max_failures="0"))


def test_five_percent_may_fail_by_default() -> None:
    settings = RunSettings(input=Path("in"), output=Path("out"))
    assert [settings.allowed_failures(total) for total in (1, 19, 20, 54, 1000)] == [0, 0, 1, 2, 50]


@pytest.mark.parametrize("limit", ["", "-1", "5 %", "five", "1.5", "%"])
def test_a_limit_is_a_number_or_a_percentage(limit: str) -> None:
    with pytest.raises(ValidationError, match="max_failures"):
        RunSettings(input=Path("in"), output=Path("out"), max_failures=limit)


def test_an_error_of_the_program_keeps_the_journal(write_questions: Write, tmp_path: Path) -> None:
    root = write_questions([record(f"Number {i}? A: x, B: y", image=f"{i}.png") for i in range(9)])
    calls = iter(range(1000))

    def lost_device(adapter: str, text: str) -> str:
        if next(calls) >= 6:
            raise RuntimeError("CUDA error: device-side assert triggered")
        return "B"

    with pytest.raises(ModelFailure, match="device-side assert"):
        run(root, tmp_path / "out", FakeModel(lost_device), batch_tokens=110, routing="declared")
    assert not (tmp_path / "out/predictions.json").exists()
    again = run(root, tmp_path / "out", FakeModel(lambda *_: "A"), batch_tokens=110, routing="declared")
    assert again.resumed == 6
    assert sorted(row["Answer"] for row in rows(tmp_path / "out")) == ["A"] * 3 + ["B"] * 6


def test_the_output_is_tried_before_the_checkpoint_is_read(write_questions: Write, tmp_path: Path) -> None:
    (tmp_path / "out").touch()
    with pytest.raises(EnvironmentProblem, match="output folder"):
        run(write_questions([record()]), tmp_path / "out")


def test_missing_input_and_checkpoint_are_named(write_questions: Write, tmp_path: Path) -> None:
    with pytest.raises(InputError):
        run(tmp_path / "absent", tmp_path / "out")
    with pytest.raises(CheckpointError, match="No checkpoint 'absent'"):
        answer_folder(write_questions([record()]), tmp_path / "out", checkpoint="absent")


def test_unknown_settings_are_refused() -> None:
    with pytest.raises(ValidationError, match="surprise"):
        RunSettings.model_validate({"input": "i", "output": "o", "surprise": 1})


def test_every_demo_task_has_examples() -> None:
    assert {dataset.task for dataset in DATASETS} == set(TASKS)
    assert len({dataset.category for dataset in DATASETS}) == 8


@pytest.mark.model
@needs_flare_data
@pytest.mark.parametrize("hidden", [False, True], ids=["declared", "hidden"])
def test_the_challenges_own_questions(tmp_path: Path, hidden: bool) -> None:
    """All hidden-validation records: the contract holds, and the router knows their tasks without having seen them."""
    from PIL import Image

    asked: list[dict[str, Any]] = []
    for path in sorted((FLARE_DATA / "flare_inputs").rglob("*.json"), key=lambda p: p.parts):
        target = tmp_path / "in" / path.relative_to(FLARE_DATA / "flare_inputs")
        target.parent.mkdir(parents=True)
        records = json.loads(path.read_bytes())
        for one in records:
            (target.parent / one["ImageName"]).parent.mkdir(exist_ok=True)
            Image.new("RGB", (64, 48), (80, 80, 80)).save(target.parent / one["ImageName"])
        asked += records
        shown = [{k: v for k, v in one.items() if k != "TaskType"} for one in records] if hidden else records
        target.write_text(json.dumps(shown))
    report = run(tmp_path / "in", tmp_path / "out")
    answers = rows(tmp_path / "out")
    assert len(answers) == len(asked) == 963
    kept = [{k: v for k, v in one.items() if k != "Answer" and not (hidden and k == "TaskType")} for one in asked]
    assert [{k: v for k, v in row.items() if k != "Answer"} for row in answers] == kept
    spelled = {spelling: task.type for task in TASKS.values() for spelling in task.spellings}
    right = 0
    for result, one in zip(report.answers, asked, strict=True):
        declared: TaskType = spelled[one["TaskType"].lower().replace("_", " ").replace("-", " ")]
        right += result.task == declared
    assert right / len(asked) >= 0.95
