from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mevlip.checkpoints.routes import read_route
from mevlip.core.errors import CheckpointError, InputError
from mevlip.inference.families import find_family
from mevlip.tasks import TASKS, adapter_names
from mevlip_training.grpo.plan import GrpoRun, plan_grpo
from mevlip_training.grpo.questions import read_questions
from mevlip_training.grpo.settings import CONFIG
from tests.conftest import DEMO
from tests.training.grpo.conftest import SMALL

Plan = Callable[..., GrpoRun]


def edit(path: Path, change: Callable[[dict[str, Any]], object], rows: int | None = None) -> None:
    """Changes a route, or the first rows of a data set."""
    lines = path.read_text("utf-8").splitlines() if rows else [path.read_text("utf-8")]
    parsed = [json.loads(line) for line in lines]
    for one in parsed[: rows or 1]:
        change(one)
    path.write_text("\n".join(map(json.dumps, parsed)) + "\n", "utf-8")


@pytest.mark.parametrize("name", adapter_names())
def test_every_row_is_asked_about_its_own_image_and_its_target_earns_everything(name: str, written: Path) -> None:
    route = read_route(written / "routes" / name)
    file = written / f"{name}.jsonl"
    questions = read_questions(file, route, find_family("internvl"))
    targets = [json.loads(line)["conversations"][1]["value"] for line in file.read_text("utf-8").splitlines()]
    for one, target in zip(questions, targets, strict=True):
        assert one.image.is_file() and one.task in route.max_new_tokens
        assert TASKS[one.task].answer.parse(target, one.spec).format() == one.truth
        assert one.spec.question == one.prompt.text


def test_the_question_is_found_within_its_template(rows: Path) -> None:
    template = "Look closely. {question} Be brief."
    edit(rows / "routes" / "counting" / "route.json", lambda route: route["prompt"].update(template=template))
    route = read_route(rows / "routes" / "counting")

    def wrap(row: dict[str, Any]) -> None:
        turn = row["conversations"][0]
        image, gap, question = turn["value"].partition("\n")
        turn["value"] = image + gap + template.replace("{question}", question)

    plain = read_questions(rows / "counting.jsonl", route, find_family("internvl"))
    edit(rows / "counting.jsonl", wrap, rows=8)
    wrapped = read_questions(rows / "counting.jsonl", route, find_family("internvl"))
    assert [one.spec.question for one in wrapped] == [one.prompt.text for one in plain]
    assert wrapped[0].prompt.text == template.replace("{question}", plain[0].prompt.text)


def show(count: int) -> Callable[[dict[str, Any]], None]:
    """Lets a row show another number of images."""

    def change(row: dict[str, Any]) -> None:
        text = row["conversations"][0]["value"].removeprefix("<image>\n")
        row["conversations"][0]["value"] = "<image>\n" * count + text
        row["images"] = row["images"] * count

    return change


def test_rows_with_another_number_of_images_are_counted_and_refused(rows: Path, plan: Plan) -> None:
    edit(rows / "counting.jsonl", show(2), rows=3)
    with pytest.raises(InputError, match=r"counting.jsonl: 3 of 8 rows have 2 images.*--images first"):
        plan()


def test_rows_without_an_image_are_refused(rows: Path, plan: Plan) -> None:
    edit(rows / "counting.jsonl", show(0), rows=2)
    with pytest.raises(InputError, match="2 of 8 rows have no image"):
        plan()


def test_rows_of_an_earlier_version_that_do_not_say_their_task_are_refused(rows: Path, plan: Plan) -> None:
    edit(rows / "counting.jsonl", lambda row: row.pop("task"), rows=8)
    with pytest.raises(InputError, match="8 of 8 rows do not name a task.*data prepare"):
        plan()


def test_an_unreadable_image_is_named(rows: Path, plan: Plan) -> None:
    edit(rows / "counting.jsonl", lambda row: row.update(images=["images/gone.png"]), rows=1)
    with pytest.raises(InputError, match=r"images/gone.png.*cannot be read"):
        plan()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"mix": {"adapter": "generalist"}}, "mixed with generalist"),
        ({"compose": ["generalist"]}, "composed with generalist"),
        ({"images": {"crop_to_patches": True}}, "cuts images into tiles"),
        ({"box_space": "pixel"}, "routes that differ in box_space"),
        ({"prompt": {"system": "Be brief."}}, "routes that differ in prompt"),
    ],
)
def test_an_adapter_that_is_asked_otherwise_is_refused(
    change: dict[str, Any], said: str, starts: Path, plan: Plan
) -> None:
    edit(starts / "counting" / "route.json", lambda route: route.update(change))
    with pytest.raises(InputError, match=said):
        plan()


@pytest.mark.parametrize(("steps", "unasked"), [(2, 4), (4, 0), (6, 0), (0, 0)])
def test_a_run_that_ends_within_its_first_epoch_says_how_many_are_not_asked(
    steps: int, unasked: int, plan: Plan, caplog: pytest.LogCaptureFixture
) -> None:
    assert plan(max_steps=steps).unasked == unasked
    said = "counting: the run ends before 4 of 8 questions are asked, the most open; an epoch is 4 steps"
    assert caplog.messages == [said] * bool(unasked)


def test_a_model_that_thinks_has_room_for_it(rows: Path, starts: Path, plan: Plan) -> None:
    for file in (starts / "counting/route.json", rows / "routes/counting/route.json"):
        edit(file, lambda route: route["prompt"].update(thinking={"tokens": 100}))
    shorter, run = plan(max_completion_length=50), plan()
    assert shorter.cap == 50 and run.cap > 100 + run.route.max_new_tokens[run.questions[0].task]


def test_an_adapter_that_is_not_there_or_was_altered_is_refused(starts: Path, plan: Plan) -> None:
    weights = starts / "counting" / "adapter_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\0")
    with pytest.raises(CheckpointError, match="not those that were packed"):
        plan()
    (starts / "counting" / "route.json").unlink()
    with pytest.raises(CheckpointError, match="no adapter to start from.*train adapters.*--from"):
        plan()


def test_a_base_of_another_family_is_refused(tmp_path: Path, plan: Plan) -> None:
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "config.json").write_text('{"model_type": "qwen2_5_vl"}', "utf-8")
    with pytest.raises(InputError, match="not of InternVL's family"):
        plan(base=tmp_path / "other")


def test_a_base_that_is_not_here_is_refused_with_how_to_get_it(rows: Path, starts: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="InternVL3-8B-hf is not on this machine.*checkpoint fetch"):
        plan_grpo("counting", CONFIG, rows, starts, tmp_path, SMALL, None)


def test_fewer_rows_than_one_generation_asks_are_refused(plan: Plan) -> None:
    with pytest.raises(InputError, match="has 8 rows, fewer than the 16 questions"):
        plan(per_device_train_batch_size=32)


def test_weights_go_to_the_tasks_that_have_the_reward_and_others_are_refused(plan: Plan, written: Path) -> None:
    assert plan(weights={"count": 7}).rewards["counting"].weights["count"] == 7  # type: ignore[index]  # a StrEnum
    with pytest.raises(InputError, match="no reward called 'cuont'"):
        plan(weights={"cuont": 7})
    overlay = SMALL | {"weights": {"count": 7}}
    everything = plan_grpo("generalist", CONFIG, written, DEMO / "adapters", written / "x", overlay, str(DEMO / "base"))
    assert {task: 7 in one.weights.values() for task, one in everything.rewards.items()} == {
        task: task == "counting" for task in everything.rewards
    }


def test_answers_are_as_long_as_the_route_lets_them_be(plan: Plan) -> None:
    assert plan().cap == read_route(DEMO / "adapters" / "counting").max_new_tokens["counting"]  # type: ignore[index]
    assert plan(max_completion_length=5).cap == 5
