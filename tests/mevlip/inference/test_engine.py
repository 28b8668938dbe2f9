from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import ClassVar

import pytest
from PIL import Image

from mevlip.answers.grammar import OneOf
from mevlip.checkpoints.routes import ImageSettings, Mix, Route
from mevlip.core.errors import CheckpointError, EnvironmentProblem, MevlipError, ModelFailure
from mevlip.flare.questions import read_input_folder
from mevlip.flare.store import ImageStore
from mevlip.inference.batching import Budget
from mevlip.inference.completion import Completion, Cost, Generation, OutOfMemory, Request, thinking_room
from mevlip.inference.engine import Answer, Engine, give_up
from mevlip.routing.policy import RoutedQuestion
from mevlip.tasks import TASKS, TaskType
from tests.conftest import FakeModel, record

Write = Callable[..., Path]
ROUTES = {
    task.adapter: Route(
        adapter=task.adapter,
        base_model="b",
        base_revision="r",
        max_new_tokens={task.type: task.max_new_tokens},
        images=ImageSettings(max_count=2),
        box_space="norm1000",
    )
    for task in TASKS.values()
}


def run(
    model: FakeModel,
    root: Path,
    task: TaskType = TaskType.CLASSIFICATION,
    constrain: bool = True,
    batch_tokens: int | None = None,
    routes: Mapping[str, Route] = ROUTES,
) -> tuple[Engine, list[Answer]]:
    folder = read_input_folder(root)
    routed = [RoutedQuestion(question, task, 0.9, task.value) for question in folder.questions]
    load = ImageStore(folder.root).load
    with Engine(model, routes, load, routed, constrain=constrain, batch_tokens=batch_tokens) as engine:
        results = [result for batch in engine.run() for result in batch]
    return engine, sorted(results, key=lambda result: result.position)


def _items(root: Path) -> list[RoutedQuestion]:
    questions = read_input_folder(root).questions
    return [RoutedQuestion(one, TaskType.CLASSIFICATION, 0.9, "classification") for one in questions]


def test_answers_are_parsed_in_the_form_of_their_question(write_questions: Write) -> None:
    root = write_questions([record("Which? A: Cat, B: Dog"), record("Which? A: Red, B: Blue")])
    _, results = run(FakeModel(lambda adapter, text: "Dog"), root)
    assert [(r.text, r.stage) for r in results] == [("B", "tolerant"), ("A", "fallback")]
    assert results[1].reason == "the model's text is neither a letter nor the text of an option"
    assert not results[1].failed


@pytest.mark.parametrize(
    ("text", "budget", "shared", "each"),
    [
        ("Which is it?", 110, [4, 2], [3, 3]),  # planned: 10 tokens of the picture and 23 more
        ("a " * 120, 255, [2, 2, 2], [1] * 6),  # as encoded: 10 and 120, more than is planned
    ],
    ids=["planned", "encoded"],
)
def test_questions_on_one_picture_take_its_tokens_each_where_adapters_are_mixed(
    write_questions: Write, text: str, budget: int, shared: list[int], each: list[int]
) -> None:
    root = write_questions([record(text)] * 6)
    mixed = {name: route.model_copy(update={"mix": Mix()}) for name, route in ROUTES.items()}
    for routes, expected in ((ROUTES, shared), (mixed, each)):
        model = FakeModel()
        run(model, root, batch_tokens=budget, routes=routes)
        assert [len(texts) for _, texts, _, _ in model.batches] == expected


def test_boxes_use_the_first_images_own_size(write_questions: Write) -> None:
    root = write_questions([record("Where?")])
    Image.new("RGB", (500, 300)).save(root / "Xray/set/imagesVal/a.png")
    _, [result] = run(FakeModel(lambda *_: "[[0, 500, 1000, 1000]]"), root, TaskType.DETECTION)
    assert result.text == "[[0, 150, 500, 300]]"


def test_boxes_of_a_large_image_are_in_its_original_pixels_although_the_model_sees_it_fitted(
    write_questions: Write,
) -> None:
    root = write_questions([record("Where?")])
    Image.new("RGB", (2000, 1500)).save(root / "Xray/set/imagesVal/a.png")
    model = FakeModel(lambda *_: "[[0, 500, 1000, 1000]]")
    _, [result] = run(model, root, TaskType.DETECTION)
    assert result.text == "[[0, 750, 2000, 1500]]"
    assert model.shown == [(886, 665)], "within the route's 768 x 768 pixels"


def test_the_first_image_sets_the_scale_of_boxes_where_a_question_has_several(write_questions: Write) -> None:
    root = write_questions([record("Where?", ["wide.png", "tall.png"]), record("Where?", ["tall.png", "wide.png"])])
    for name, size in (("wide.png", (500, 300)), ("tall.png", (200, 800))):
        Image.new("RGB", size).save(root / "Xray/set" / name)
    model = FakeModel(lambda *_: "[[0, 500, 1000, 1000]]")
    _, results = run(model, root, TaskType.DETECTION)
    assert [count for _, _, counts, _ in model.batches for count in counts] == [2, 2], "both images are shown"
    assert [result.text for result in results] == ["[[0, 150, 500, 300]]", "[[0, 400, 200, 800]]"]


def test_the_model_gets_each_questions_grammar_unless_answers_are_free(write_questions: Write) -> None:
    root = write_questions([record("Which? A: Cat, B: Dog"), record("Which? A: Cat, B: Dog, C: Cow")])
    constrained, free = FakeModel(lambda *_: "B"), FakeModel(lambda *_: "B")
    run(constrained, root)
    run(free, root, constrain=False)
    assert constrained.grammars == [OneOf(("A", "B")), OneOf(("A", "B", "C"))]
    assert free.grammars == [None, None]


def test_free_answers_stay_free_where_a_question_is_tried_again(write_questions: Write) -> None:
    model = breaking(lambda text: "" if "poison" in text else "B")
    run(model, write_questions([record("poison? A: x, B: y"), record("fine? A: x, B: y")]), constrain=False)
    assert model.grammars and set(model.grammars) == {None}, "also for the harmless question"


THINKING = {name: route.with_thinking("64") for name, route in ROUTES.items()}


def test_thinking_takes_room_in_batches_windows_and_requests(write_questions: Write) -> None:
    asked: list[Request] = []

    class Keeps(FakeModel):
        def generate(self, requests: Sequence[Request]) -> Generation:
            asked.extend(requests)
            return super().generate(requests)

    text = f"Which animal? {'very ' * 20_000} A: Cat, B: Dog"
    root = write_questions([record(), record(text)])
    plain, _ = run(Keeps(), root)
    thinking, results = run(Keeps(), root, routes=THINKING)
    answer = ROUTES["classification"].max_new_tokens[TaskType.CLASSIFICATION]
    assert [size.new for engine in (plain, thinking) for size in map(engine._estimate, _items(root))] == [
        0, 0, *[answer + thinking_room(64)] * 2,
    ]  # fmt: skip
    assert [(one.thinking, one.max_new_tokens, one.new_tokens - answer) for one in asked] == [
        *[(0, answer, 0)] * 2, *[(64, answer, thinking_room(64))] * 2,
    ]  # fmt: skip
    lengths = [len(one.prompt.tokens) + one.new_tokens for one in asked]
    assert FakeModel.window - 10 <= max(lengths) <= FakeModel.window
    assert len(asked[3].prompt.tokens) < len(asked[1].prompt.tokens) and results[1].problems


def test_thinking_that_leaves_no_room_for_a_prompt_is_refused(write_questions: Write) -> None:
    routes = {name: route.with_thinking("3500") for name, route in ROUTES.items()}
    with pytest.raises(CheckpointError, match=r"3500 tokens of thinking and \d+ of an answer leave no room .* of 4096"):
        run(FakeModel(), write_questions([record()]), routes=routes)


def test_a_harmless_question_is_thought_about_too(write_questions: Write) -> None:
    asked: list[Request] = []

    class Breaks(FakeModel):
        def generate(self, requests: Sequence[Request]) -> Generation:
            asked.extend(requests)
            if len(asked) == 1:
                raise RuntimeError("broken")
            return super().generate(requests)

    run(Breaks(), write_questions([record()]), routes=THINKING)
    assert [one.thinking for one in asked] == [64, 4]


def test_an_answer_keeps_what_the_model_wrote_and_how_sure_it_was(write_questions: Write) -> None:
    class Sure(FakeModel):
        def generate(self, requests: Sequence[Request]) -> Generation:
            super().generate(requests)
            sure = (Completion("B", 1, 0.9, {"A": 0.1, "B": 0.9}), Completion("It is A", 3, 0.25))
            return Generation(sure[: len(requests)], Cost(generated_tokens=4))

    engine, results = run(Sure(), write_questions([record(), record(), record(image=None) | {"Question": ""}]))
    assert [result.completion and result.completion.text for result in results] == ["B", "It is A", None]
    assert [result.probability for result in results] == [0.9, 0.25, None]
    assert [result.options for result in results] == [{"A": 0.1, "B": 0.9}, {}, {}]
    assert [result.text for result in results][:2] == ["B", "A"]
    assert engine.counters.generated_tokens == 1 + 3


def test_all_images_of_a_question_are_shown_up_to_the_routes_cap(write_questions: Write) -> None:
    root = write_questions([record(image=["a.png", "b.png"]), record(image=["a.png", "b.png", "c.png"])])
    model = FakeModel()
    run(model, root)
    assert model.batches[0][2] == [2, 2]


def test_a_question_whose_pictures_are_lost_gets_a_fallback_and_the_others_their_answers(
    write_questions: Write,
) -> None:
    root = write_questions(
        [record(image="a.png"), record(image="b.png"), record(image=None), record("", image="a.png")]
    )
    (root / "Xray/set/b.png").unlink()
    _, results = run(FakeModel(lambda *_: "B"), root)
    assert [(r.text, r.failed) for r in results] == [("B", False), ("A", True), ("B", False), ("A", True)]
    assert results[1].problems == ("image 'b.png': not found beside its question file",)
    assert results[2].problems == ("the record's ImageName names no image",)
    assert [r.reason for r in results[1:]] == ["no image could be used", "", "the record has no Question text"]
    assert [r.asked for r in results] == [True, False, True, False]


def test_a_record_that_names_no_picture_is_asked_by_its_text_alone(write_questions: Write) -> None:
    model = FakeModel(lambda *_: "B")
    _, results = run(model, write_questions([record(image=[]), record()]))
    assert [r.text for r in results] == ["B", "B"]
    assert sorted(count for _, _, counts, _ in model.batches for count in counts) == [0, 1]


def breaking(answer: Callable[[str], str], error: type[Exception] = RuntimeError) -> FakeModel:
    """A model that breaks where `answer` returns nothing."""

    def say(adapter: str, text: str) -> str:
        if said := answer(text):
            return said
        raise error("boom\nsecond line")

    return FakeModel(say)


def test_a_question_that_breaks_the_model_is_isolated(write_questions: Write) -> None:
    questions = [record(f"{'poison' if i == 5 else 'fine'} {i}? A: x, B: y") for i in range(8)]
    model = breaking(lambda text: "" if "poison" in text else "B")
    engine, results = run(model, write_questions(questions))
    assert [r.text for r in results] == ["B"] * 5 + ["A"] + ["B"] * 2
    assert [r.failed for r in results] == [i == 5 for i in range(8)]
    assert results[5].reason == "the model failed (RuntimeError: boom)"
    assert all(r.asked for r in results)
    assert engine.counters.questions == 8
    harmless = [prompts for _, prompts, _, _ in model.batches if prompts == ["Which is it? A: This, B: That"]]
    assert len(harmless) == 1, "a harmless question showed that the program works"
    assert model.released == 4, "after each batch that broke: of 8, 4, 2 and 1"


def test_an_error_of_the_program_ends_the_run_with_its_cause(write_questions: Write) -> None:
    with pytest.raises(
        ModelFailure, match=r"any question of adapter 'classification' \(RuntimeError: boom\)"
    ) as caught:
        run(breaking(lambda text: ""), write_questions([record(), record()]))
    assert caught.value.exit_code == 8
    assert "run the same command again" in caught.value.remedy


@pytest.mark.parametrize("error", [ModelFailure, CheckpointError, EnvironmentProblem])
def test_an_error_that_names_its_cause_is_no_questions_fault(
    write_questions: Write, error: Callable[[str, str], Exception]
) -> None:
    def answer(adapter: str, text: str) -> str:
        raise error("The GPU stopped working", "Take another.")

    model = FakeModel(answer)
    with pytest.raises(MevlipError, match="The GPU stopped working"):
        run(model, write_questions([record(), record()]))
    assert len(model.batches) == 1, "nothing is tried again"


def test_running_out_of_memory_is_survived_even_by_a_harmless_question(write_questions: Write) -> None:
    model = breaking(lambda text: "B" if "small" in text else "", OutOfMemory)
    _, results = run(model, write_questions([record("small? A: x, B: y"), record("large? A: x, B: y")]))
    assert [(r.text, r.failed) for r in results] == [("B", False), ("A", True)]
    assert results[1].reason == "the model failed (OutOfMemory: boom)"
    assert model.released == 2


def test_a_batch_that_does_not_fit_is_halved_until_it_does(write_questions: Write) -> None:
    class Small(FakeModel):
        budget = Budget(400, 10**6)
        tried: ClassVar[list[int]] = []

        def generate(self, requests: Sequence[Request]) -> Generation:
            self.tried.append(len(requests))
            if len(requests) > 4:
                raise OutOfMemory("no room")
            return super().generate(requests)

    model = Small(lambda *_: "B")
    text = f"Which {'very ' * 15} one? A: Cat, B: Dog"
    engine, results = run(model, write_questions([record(text, f"{n}.png") for n in range(16)]))
    assert not any(r.failed for r in results)
    assert model.tried == [6, 4, 2, 4, 2, 4], "no later batch is tried whole"
    assert engine.counters.budget_halvings == 2


def test_the_budget_is_not_blamed_where_one_question_does_not_fit(write_questions: Write) -> None:
    model = breaking(lambda text: "" if "large" in text else "B", OutOfMemory)
    root = write_questions([record(f"{kind} one? A: x, B: y", f"{kind}.png") for kind in ("a", "b", "large", "c")])
    engine, results = run(model, root)
    assert [r.failed for r in results] == [False, False, True, False]
    assert engine.counters.budget_halvings < 20


def test_an_interrupt_is_not_swallowed(write_questions: Write) -> None:
    def answer(adapter: str, text: str) -> str:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(FakeModel(answer), write_questions([record()]))


def test_special_tokens_of_the_model_never_reach_the_prompt(write_questions: Write) -> None:
    model = FakeModel()
    run(model, write_questions([record("Is it<|im_end|> a <img> cat? A: x, B: y")]))
    assert model.batches[0][1] == ["Is it a cat? A: x, B: y"]


def test_costs_are_counted(write_questions: Write) -> None:
    root = write_questions([record(f"q{i}? A: x, B: y", f"{i % 2}.png") for i in range(5)])
    folder = read_input_folder(root)
    model = FakeModel()
    tasks = [TaskType.CLASSIFICATION] * 3 + [TaskType.COUNTING] * 2
    routed = [RoutedQuestion(q, t, 1.0, t.value) for q, t in zip(folder.questions, tasks, strict=True)]
    with Engine(model, ROUTES, ImageStore(folder.root).load, routed, batch_tokens=70) as engine:
        assert [len(batch.items) for batch in engine.batches] == [2, 1, 2]
        list(engine.run())
    counters = engine.counters
    assert (counters.questions, counters.batches, counters.adapter_switches) == (5, 3, 2)
    assert (counters.forwards, counters.prompt_tokens, counters.pictures_encoded) == (6, 50, 5)
    assert counters.pictures_decoded == 4, "two questions of a batch name the same image"
    assert counters.generated_tokens == 10, "two of each answer"
    assert model.switches == ["classification", "counting"]
    assert [batch[3] for batch in model.batches] == [32, 32, 16], "each task has its token budget"


def test_a_text_longer_than_the_models_window_is_cut_and_named(write_questions: Write) -> None:
    model = FakeModel(lambda *_: "B")
    text = f"Which animal? {'very ' * 20_000} A: Cat, B: Dog"
    _, results = run(model, write_questions([record(text), record()]))
    assert [result.text for result in results] == ["B", "B"] and not any(result.failed for result in results)
    [long] = [prompt for _, prompts, _, _ in model.batches for prompt in prompts if "animal" in prompt]
    assert model.window - 100 <= len(long.split()) + 10 + 32 <= model.window, "the image and the answer have their room"
    assert long.startswith("Which animal? very") and long.endswith("very A: Cat, B: Dog")
    shown = len(long)
    assert results[0].problems == (
        f"the question's text is too long for the model: {shown} of {len(' '.join(text.split()))} characters are shown",
    )
    assert results[1].problems == ()
    assert model.grammars[0] == OneOf(("A", "B"))


def test_options_longer_than_the_window_are_cut_too(write_questions: Write) -> None:
    model = FakeModel(lambda *_: "B")
    _, [result] = run(model, write_questions([record(f"Which? A: {'cat ' * 9000}, B: {'dog ' * 9000}")]))
    [[prompt]] = [prompts for _, prompts, _, _ in model.batches]
    assert result.text == "B" and result.problems
    assert prompt.startswith("Which? A: cat") and prompt.endswith("dog") and len(prompt.split()) < model.window


def test_images_that_fill_the_window_leave_the_text_some_room(write_questions: Write) -> None:
    model = FakeModel(lambda *_: "B")
    model.window = 20
    _, results = run(model, write_questions([record(f"Which? {'word ' * n} A: Cat, B: Dog") for n in (500, 3000)]))
    lengths = [len(prompt.split()) for _, prompts, _, _ in model.batches for prompt in prompts]
    assert lengths[0] == 505 and 1000 < lengths[1] <= 1024
    assert [bool(result.problems) for result in results] == [False, True]


def test_a_batch_is_split_by_its_tokens(write_questions: Write) -> None:
    """Where its questions turn out longer than was planned, here as every character is a word."""
    root = write_questions([record(f"{'w ' * n}? A: x, B: y") for n in (10, 10, 10, 500, 500, 500)])
    model = FakeModel(lambda *_: "B")
    _, results = run(model, root, batch_tokens=1200)
    assert [result.text for result in results] == ["B"] * 6
    assert [len(prompts) for _, prompts, _, _ in model.batches] == [5, 1]


def test_a_question_can_be_given_up_without_its_images_or_a_model(write_questions: Write) -> None:
    [question] = read_input_folder(write_questions([record("Which? A: Cat, B: Dog")])).questions
    answer = give_up(
        RoutedQuestion(question, TaskType.CLASSIFICATION, 0.5, "classification"), "for a reason", asked=True
    )
    assert (answer.text, answer.stage, answer.reason) == ("A", "fallback", "for a reason")
    assert answer.failed and answer.asked and not answer.problems
