"""Runs in which the model thinks before it answers, on the demo and at the real vocabulary; neither can reason."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from mevlip.answers import ParsedAnswer
from mevlip.checkpoints.checkpoint import adapter_folder, open_checkpoint
from mevlip.checkpoints.routes import Route, Thinking, read_route, write_route
from mevlip.core.errors import CheckpointError
from mevlip.flare.questions import Question, read_input_folder
from mevlip.inference.completion import Completion, Cost, Generation, Request
from mevlip.inference.engine import Answer
from mevlip.inference.model import VisionLanguageModel
from mevlip.predictor import Predictor
from mevlip.runs.explanations import explain, read_explanations
from mevlip.runs.journal import journals
from mevlip.settings import PredictorSettings
from mevlip.tasks import GENERALIST, TaskType
from tests.altered_checkpoints import repack
from tests.conftest import DEMO, EXAMPLES, FakeModel, answer_folder, call_mevlip, first_of_each, load_once, record
from tests.mevlip.inference.asking import ask, engine_and_reference

pytestmark = [pytest.mark.model, pytest.mark.usefixtures("loaded_once")]


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The first question of each of the example's data sets, 18 of all seven tasks."""
    return first_of_each(tmp_path_factory.mktemp("first") / "in")


def test_the_command_thinks_within_its_budget_and_explains_what_was_thought(first: Path, tmp_path: Path) -> None:
    why, out = tmp_path / "why.jsonl", tmp_path / "out"
    arguments = ("predict", first, out, "--checkpoint", DEMO, "--device", "cpu", "--explanations", why)
    done = call_mevlip(*arguments, "--thinking", "16", "--run-report", tmp_path / "report.json")
    assert done.exit_code == 0, done.stderr
    explained = read_explanations(why)
    assert len(explained) == 18 and all(one.thinking and one.stage != "fallback" for one in explained)
    tokenizer = load_once(open_checkpoint(DEMO)).encoder.tokenizer
    assert max(len(tokenizer(one.thinking)["input_ids"]) for one in explained) <= 16
    predictions = (out / "predictions.json").read_text("utf-8")
    assert "thinking" not in predictions and "<" not in "".join(one["Answer"] for one in json.loads(predictions))
    longest = max((one.thinking for one in explained), key=len)
    assert longest not in done.stderr and longest not in (tmp_path / "report.json").read_text("utf-8")
    assert json.loads((tmp_path / "report.json").read_bytes())["settings"]["thinking"]["value"] == "16"


def test_without_thinking_nothing_changes(first: Path, tmp_path: Path) -> None:
    plain, off = (
        answer_folder(first, tmp_path / name, explanations=tmp_path / f"{name}.jsonl", **options)
        for name, options in (("plain", {}), ("off", {"thinking": "off"}))
    )
    assert plain.predictions.read_bytes() == off.predictions.read_bytes()
    assert (tmp_path / "plain.jsonl").read_bytes() == (tmp_path / "off.jsonl").read_bytes()
    assert plain.counters == off.counters
    assert {one.thinking for one in plain.explanations} == {""}
    routes = open_checkpoint(DEMO).routes
    for name, route in routes.items():
        written = (adapter_folder(DEMO, name) / "route.json").read_text("utf-8")
        assert route.model_dump_json(indent=1) + "\n" == written and "thinking" not in written


@pytest.mark.parametrize("constrain", [True, False], ids=["constrained", "free"])
def test_all_seven_tasks_are_answered_at_the_real_vocabulary(
    thin_checkpoint: Path, first: Path, tmp_path: Path, constrain: bool
) -> None:
    """The thin model is random: it never closes its thinking by itself."""
    report = answer_folder(
        first, tmp_path, checkpoint=thin_checkpoint, routing="declared", thinking="5", constrain=constrain
    )
    assert {one.task for one in report.answers} == set(TaskType)
    assert not [one.reason for one in report.answers if one.failed]
    if constrain:
        unreadable = {one.task for one in report.answers if one.stage == "fallback"}
        assert unreadable <= {TaskType.DETECTION}, "random boxes may have no area"
        assert all(one.completion and one.completion.tokens > 5 + 6 for one in report.answers)


@pytest.fixture(scope="module", params=["demo", "thin"])
def pair(request: pytest.FixtureRequest, thin_checkpoint: Path) -> tuple[Predictor, Predictor]:
    """The engine and the reference, in float32."""
    return engine_and_reference(DEMO if request.param == "demo" else thin_checkpoint)


@pytest.mark.parametrize("constrain", [True, False], ids=["constrained", "free"])
def test_thoughts_and_answers_equal_those_of_the_reference(
    pair: tuple[Predictor, Predictor], first: Path, constrain: bool
) -> None:
    folder = read_input_folder(first)
    # The thin model takes longer.
    questions = folder.questions[:: 1 if pair[0].checkpoint.folder.samefile(DEMO) else 5]
    (ours, cost), (theirs, plain) = (ask(one, folder, questions, thinking="6", constrain=constrain) for one in pair)
    assert [_said(one) for one in ours] == [_said(one) for one in theirs]
    assert not any(one.failed for one in ours)
    for one, other in zip(ours, theirs, strict=True):
        assert one.probability == pytest.approx(other.probability, abs=1e-4)
        assert one.options == pytest.approx(other.options, abs=1e-4)
    assert (cost.questions, cost.generated_tokens) == (plain.questions, plain.generated_tokens)


@pytest.mark.parametrize("constrain", [True, False], ids=["constrained", "free"])
def test_a_base_that_is_asked_one_question_at_a_time_thinks_too(
    tiny_checkpoint: Callable[[str], Path], first: Path, constrain: bool
) -> None:
    predictor = Predictor.find(PredictorSettings(checkpoint=str(tiny_checkpoint("qwen3_5")), device="cpu"))
    folder = read_input_folder(first)
    answers, cost = ask(predictor, folder, folder.questions[::5], thinking="6", constrain=constrain)
    assert len(answers) == 4 and not any(one.failed for one in answers)
    assert cost.generated_tokens == sum(one.completion.tokens for one in answers if one.completion)
    if constrain:
        assert all(one.completion and one.completion.thinking for one in answers)


def _said(answer: Answer) -> tuple[str, str, int]:
    assert answer.completion is not None
    return answer.text, answer.completion.thinking, answer.completion.tokens


@pytest.fixture(scope="module")
def thinking_demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The demo, whose adapter for counting thinks."""
    folder = Path(shutil.copytree(DEMO, tmp_path_factory.mktemp("checkpoints") / "thinking"))
    own = adapter_folder(folder, "counting")
    route = read_route(own)
    prompt = route.prompt.model_copy(update={"thinking": Thinking(tokens=7, preset="Think <think> a little.")})
    write_route(own, route.model_copy(update={"prompt": prompt}))
    repack(folder)
    return folder


def test_an_adapter_thinks_where_its_route_says_so_unless_the_command_says_otherwise(thinking_demo: Path) -> None:
    predictor = Predictor.find(PredictorSettings(checkpoint=str(thinking_demo), device="cpu"))
    counting, other = "How many dots are there?", "Is it round? A: No, B: Yes"
    image = next(EXAMPLES.rglob("*.png"))

    def thought(question: str, task: str, thinking: str | None) -> str:
        completion = predictor.ask(question, [image], task=task, thinking=thinking).completion
        return completion.thinking if completion else ""

    assert thought(counting, "counting", None) and not thought(other, "classification", None)
    assert not thought(counting, "counting", "off") and thought(other, "classification", "on")
    assert isinstance(predictor.model, VisionLanguageModel)
    route = predictor.checkpoint.routes["counting"]
    assert route.with_thinking("on") == route.with_thinking(None) == route
    changed = route.with_thinking("3").prompt.thinking
    assert changed == Thinking(tokens=3, preset="Think <think> a little."), "the wording stays the adapter's"
    assert predictor.checkpoint.routes[GENERALIST].with_thinking("on").prompt.thinking == Thinking(tokens=1024)


def test_a_route_is_read_as_it_was_written(thinking_demo: Path) -> None:
    route = read_route(adapter_folder(thinking_demo, "counting"))
    assert Route.model_validate_json(route.model_dump_json()) == route
    with pytest.raises(ValidationError, match="tokens"):
        Thinking(tokens=0)


class Thinks(FakeModel):
    """Says what it thought; the text is what a model may say at its worst."""

    def generate(self, requests: Sequence[Request]) -> Generation:
        super().generate(requests)
        thought = "\x1b[31mred\x1b[0m\nsecond line\u202e" + "long " * 9_000
        return Generation(tuple(Completion("A", 2, 0.5, thinking=thought) for _ in requests), Cost())


def test_what_was_thought_is_shown_on_one_line_cut_and_without_what_cannot_be_seen(
    write_questions: Any, tmp_path: Path
) -> None:
    root = write_questions([record()])
    why = tmp_path / "why.jsonl"
    report = answer_folder(root, tmp_path / "out", Thinks(), routing="declared", explanations=why)
    [one] = read_explanations(why)
    assert one.thinking.startswith("[31mred [0m second linelong long") and one.thinking.isprintable()
    assert len(one.thinking) == 8_000 and one.thinking.endswith("…")
    assert [answer.text for answer in report.answers] == ["A"]


def test_a_resumed_run_explains_what_was_thought_before(write_questions: Any, tmp_path: Path) -> None:
    root = write_questions([record("One? A: x, B: y"), record("Other? A: x, B: y", image="b.png")])

    class Stops(Thinks):
        def generate(self, requests: Sequence[Request]) -> Generation:
            if self.batches:
                raise KeyboardInterrupt
            return super().generate(requests)

    options = {"routing": "declared", "batch_tokens": 1, "thinking": "5", "explanations": tmp_path / "why.jsonl"}
    with pytest.raises(KeyboardInterrupt):
        answer_folder(root, tmp_path / "out", Stops(), **options)
    assert journals(tmp_path / "out")
    report = answer_folder(root, tmp_path / "out", Thinks(), **options)
    assert report.resumed == 1
    assert len({one.thinking for one in read_explanations(tmp_path / "why.jsonl")}) == 1


def test_ask_shows_what_was_thought(tmp_path: Path) -> None:
    image = next(EXAMPLES.rglob("*.png"))
    asked = ("ask", image, "Is it round? A: No, B: Yes", "--task", "classification", "--device", "cpu")
    done = call_mevlip(*asked, "--thinking", "9", "--json")
    assert done.exit_code == 0, done.stderr
    thinking = json.loads(done.stdout)["thinking"]
    shown = call_mevlip(*asked, "--thinking", "9").stdout
    assert thinking and "thinking  " in shown and thinking in shown
    assert "thinking" not in call_mevlip(*asked).stdout
    unasked = Answer(0, TaskType.COUNTING, "counting", 1.0, ParsedAnswer("3", "fallback"))
    assert explain(Question.given_as("?", []), unasked).thinking == ""


def test_a_wrong_budget_is_named(tmp_path: Path) -> None:
    done = call_mevlip("predict", EXAMPLES, tmp_path, "--thinking", "lots")
    assert done.exit_code == 2 and "it is not on, off or a number of tokens from 1 to 8192" in done.stderr
    done = call_mevlip("predict", EXAMPLES, tmp_path, "--checkpoint", DEMO, "--thinking", "8000")
    assert isinstance(done.exception, CheckpointError)
    assert "leave no room for a prompt in the model's window of 8192 tokens" in str(done.exception)
