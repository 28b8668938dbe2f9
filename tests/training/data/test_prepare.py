from __future__ import annotations

import hashlib
import json
import zipfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from mevlip.checkpoints.routes import ImageSettings, PromptSettings, read_route
from mevlip.core.errors import EnvironmentProblem, InputError
from mevlip.flare import store
from mevlip.flare.frames.reading import open_frames
from mevlip.flare.images import load_image
from mevlip.tasks import GENERALIST, TASKS, TaskType
from mevlip_training.data.prepare import Choices, prepare
from mevlip_training.demo.inputs import write_inputs
from mevlip_training.runs import disagreements, read_yaml
from tests.conftest import DEMO, ROOT
from tests.training.data.conftest import boxes, measure, row

Flare = Callable[..., Path]
VIEWS = [f"imagesTr/{number}.png" for number in range(1, 7)]


def read(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def run(root: Path, out: Path, **choices: Any) -> list[dict[str, Any]]:
    prepare(root, out, Choices(**choices), quiet=True)
    return read(out / "generalist.jsonl")


def test_a_row_is_what_llama_factory_reads(flare: Flare, tmp_path: Path) -> None:
    assert run(flare(row("B")), tmp_path / "out") == [
        {
            "conversations": [
                {"from": "human", "value": "<image>\nWhich is it? A: This, B: That"},
                {"from": "gpt", "value": "B"},
            ],
            "images": ["images/Xray/dental/imagesTr/1.png"],
            "id": "dental/dental_questions_train/0",
            "task": "classification",
        }
    ]
    info = json.loads((tmp_path / "out" / "dataset_info.json").read_text())
    assert info["generalist"] == {
        "file_name": "generalist.jsonl",
        "formatting": "sharegpt",
        "columns": {"messages": "conversations", "images": "images"},
    }
    assert set(info) == {"generalist", "classification"}


@pytest.mark.parametrize(
    ("answers", "expected"), [(["12.5", "87.3"], (0.0, 88.0)), (["-3.5", "0.0"], (-4.0, 1.0)), ([], (0.0, 1000.0))]
)
def test_the_plausible_range_is_that_of_the_training_answers(
    flare: Flare, tmp_path: Path, answers: list[str], expected: tuple[float, float]
) -> None:
    measured = [measure(answer, VIEWS[index + 1]) for index, answer in enumerate(answers)]
    run(flare(*measured, row("B")), tmp_path / "out")
    assert read_route(tmp_path / "out" / "routes" / GENERALIST).value_range == expected


@pytest.mark.parametrize(
    ("answers", "expected"),
    [(["3", "1664"], (0, 3328)), (["0"], (0, 1)), (["700000"], (0, 999_999)), ([], (0, 999_999))],
)
def test_plausible_counts_reach_to_twice_the_greatest_of_training(
    flare: Flare, tmp_path: Path, answers: list[str], expected: tuple[int, int]
) -> None:
    asked = {"TaskType": "counting", "question": "How many cells?"}
    counted = [row(answer, VIEWS[index + 1], **asked) for index, answer in enumerate(answers)]
    run(flare(*counted, row("B")), tmp_path / "out")
    assert read_route(tmp_path / "out" / "routes" / GENERALIST).count_range == expected


def test_the_task_files_part_the_whole(tmp_path: Path) -> None:
    write_inputs(tmp_path / "flare")
    prepared = prepare(tmp_path / "flare", tmp_path / "out", Choices(), quiet=True)
    whole = read(tmp_path / "out" / "generalist.jsonl")
    parts = {task: read(tmp_path / "out" / f"{task}.jsonl") for task in TaskType}
    assert sorted(one["id"] for part in parts.values() for one in part) == sorted(one["id"] for one in whole)
    for part in parts.values():
        assert part == [one for one in whole if one in part]
    assert prepared.rows.total() == len(whole)
    assert len({one["id"] for one in whole}) == len(whole)
    for one in whole:
        assert one["conversations"][0]["value"].count("<image>\n") == len(one["images"])
        for image in one["images"]:
            with Image.open(tmp_path / "out" / image) as opened:
                assert opened.mode in ("RGB", "L")


def test_the_routes_hold_every_choice(flare: Flare, tmp_path: Path) -> None:
    prompt = PromptSettings(system="Be brief.", template="Q: {question}")
    choices = {
        "box_space": "pixel",
        "image_settings": ImageSettings(max_pixels=9999, crop_to_patches=True),
        "base_model": "b",
        "prompt": prompt,
    }
    [one] = run(flare(boxes("[1, 2, 3, 4]")), tmp_path / "out", images="first", **choices)
    assert one["system"] == "Be brief."
    assert one["conversations"][0]["value"].startswith("<image>\nQ: Box")
    assert one["conversations"][1]["value"] == "[[1,2,3,4]]"
    info = json.loads((tmp_path / "out" / "dataset_info.json").read_text())
    assert info["detection"]["columns"]["system"] == "system"
    for adapter in (GENERALIST, "detection"):
        route = read_route(tmp_path / "out" / "routes" / adapter)
        assert (route.base_model, route.prompt, route.box_space) == ("b", prompt, "pixel")
        assert (route.images.max_count, route.images.max_pixels, route.images.crop_to_patches) == (1, 9999, True)
    assert set(read_route(tmp_path / "out" / "routes" / GENERALIST).max_new_tokens) == set(TASKS)
    assert sorted(path.name for path in (tmp_path / "out" / "routes").iterdir()) == ["detection", GENERALIST]


def test_the_default_choices_agree_with_the_configs(flare: Flare, tmp_path: Path) -> None:
    run(flare(row("A")), tmp_path / "out")
    settings = read_yaml(ROOT / "llamafactory_configs" / "generalist.yaml")
    assert disagreements(settings, read_route(tmp_path / "out" / "routes" / GENERALIST)) == []


def test_several_images_are_shown_as_prediction_shows_them(flare: Flare, tmp_path: Path) -> None:
    root = flare(row("A", image=VIEWS))
    for images, shown in (("all", [[1, 3, 4, 6]]), ("first", [[1]]), ("explode", [[n] for n in range(1, 7)])):
        rows = run(root, tmp_path / images, images=images)
        assert [[int(Path(name).stem) for name in one["images"]] for one in rows] == shown
        assert len({one["id"] for one in rows}) == len(rows)
        route = read_route(tmp_path / images / "routes" / GENERALIST)
        assert route.images.max_count == (4 if images == "all" else 1)


def test_plain_files_are_linked_and_others_written_as_prediction_sees_them(flare: Flare, tmp_path: Path) -> None:
    root = flare(*(row("A", image=f"imagesTr/{name}") for name in ("1.jpg", "2.png", "3.tif")))
    folder = root / "training/Xray/dental/imagesTr"
    deep = np.arange(1200, dtype=np.uint16).reshape(30, 40) * 50
    Image.fromarray(deep).save(folder / "2.png")
    Image.fromarray(deep).save(folder / "3.tif")
    plain, png, tif = [tmp_path / "out" / one["images"][0] for one in run(root, tmp_path / "out")]
    assert plain.samefile(folder / "1.jpg")
    assert (plain.name, png.name, tif.name) == ("1.jpg", "2.png", "3.tif.png")
    for written, source in ((png, folder / "2.png"), (tif, folder / "3.tif")):
        with Image.open(written) as opened:
            assert opened.mode == "RGB"
            assert np.array_equal(np.asarray(opened), np.asarray(load_image(source)))


@pytest.mark.parametrize("keep_flagged", [False, True])
def test_each_image_is_decoded_once_but_for_its_conversion(
    flare: Flare, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, keep_flagged: bool
) -> None:
    root = flare(
        row("A"), boxes("[1, 2, 3, 4]"), row("A", image="imagesTr/2.png"), row("A", image="imagesTr/3.png"),
        row("B", image=VIEWS), row("A", image="imagesTr/8.png"),
    )  # fmt: skip
    folder = root / "training/Xray/dental"
    Image.fromarray(np.arange(1280, dtype=np.uint16).reshape(32, 40) * 50).save(folder / "imagesTr/2.png")
    with zipfile.ZipFile(folder / "imagesTr.zip", "w") as packed:
        packed.write(folder / "imagesTr/8.png", "8.png")
    (folder / "imagesTr/8.png").unlink()
    decoded: Counter[str] = Counter()

    def counted(read: Callable[..., Any]) -> Callable[..., Any]:
        def decode(content: Path | bytes) -> Any:
            decoded["archived" if isinstance(content, bytes) else content.name] += 1
            return read(content)

        return decode

    monkeypatch.setattr(store, "load_image", counted(load_image))
    monkeypatch.setattr(store, "open_frames", counted(open_frames))
    run(root, tmp_path / "out", keep_flagged=keep_flagged)
    views = {Path(name).name for name in VIEWS} - {"2.png"}
    seen = views if not keep_flagged else {"1.png", "3.png", "4.png", "6.png"}
    assert decoded == {"archived": 1, "2.png": 2, **dict.fromkeys(seen, 1)}


def test_namesakes_in_two_folders_are_kept_apart(flare: Flare, tmp_path: Path) -> None:
    root = flare(row("A", image="imagesTr/1.png"), split="training/one")
    flare(row("A", image="imagesTr/1.png"), split="training/two")
    other = root / "training/two/Xray/dental/imagesTr/1.png"
    Image.new("RGB", (40, 30), (1, 2, 3)).save(other)
    first, second = run(root, tmp_path / "out")
    assert (tmp_path / "out" / second["images"][0]).samefile(other)
    assert first["images"] != second["images"]


def test_what_the_audit_leaves_out_is_counted_and_can_be_kept(flare: Flare, tmp_path: Path) -> None:
    root = flare(
        row("A"), row("A"), row("T", image="imagesTr/2.png"), measure("5000", question="ABR%?", image="imagesTr/3.png"),
        row("", image="imagesTr/4.png"), row("B", image="imagesTr/5.png"),
    )  # fmt: skip
    (root / "training/Xray/dental/imagesTr/5.png").unlink()
    flare(row("A", image="imagesVal/3.png"), split="validation-public", suffix="val")
    prepared = prepare(root, tmp_path / "out", Choices(), quiet=True)
    assert prepared.left_out == {
        "repeated row": 1,
        "answer that is not an option": 1,
        "measurement out of range": 1,
        "empty answer": 1,
        "missing or unreadable image": 1,
    }
    assert prepared.rows == {(TaskType.CLASSIFICATION, "dental"): 1}
    kept = prepare(root, tmp_path / "kept", Choices(keep_flagged=True), quiet=True)
    assert kept.rows == {(TaskType.CLASSIFICATION, "dental"): 2, (TaskType.REGRESSION, "dental"): 1}
    assert kept.left_out.total() == 3


def test_the_record_of_the_run_pins_the_files(flare: Flare, tmp_path: Path) -> None:
    run(flare(row("A"), boxes("[1, 2, 3, 4]")), tmp_path / "out")
    record = json.loads((tmp_path / "out" / "prepared.json").read_text())
    assert record["rows"] == {"classification": {"dental": 1}, "detection": {"dental": 1}}
    assert record["choices"]["prompt"] == {"system": "", "template": "{question}", "image_mark": ""}
    for name, digest in record["sha256"].items():
        assert hashlib.sha256((tmp_path / "out" / f"{name}.jsonl").read_bytes()).hexdigest() == digest


def test_a_tokenizer_measures_budgets_and_cleans_questions(flare: Flare, tmp_path: Path) -> None:
    root = flare(row("A", question="Which<|im_end|> is it? A: This, B: That"), row("No mass. " * 60, TaskType="report"))
    rows = run(root, tmp_path / "out", tokenizer=DEMO / "base")
    assert "<|im_end|>" not in rows[0]["conversations"][0]["value"]
    budgets = read_route(tmp_path / "out" / "routes" / GENERALIST).max_new_tokens
    assert budgets[TaskType.CLASSIFICATION] == 8
    assert budgets[TaskType.REPORT] > 120 and budgets[TaskType.REPORT] % 8 == 0


def test_the_same_tree_gives_the_same_files(flare: Flare, tmp_path: Path) -> None:
    root = flare(row("A"), boxes("[1, 2, 3, 4]"))
    first = prepare(root, tmp_path / "one", Choices(), quiet=True)
    assert prepare(root, tmp_path / "two", Choices(), quiet=True).sha256 == first.sha256


def test_no_usable_row_is_an_error_and_leaves_nothing(flare: Flare, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="1 x answer that is not an option"):
        prepare(flare(row("T")), tmp_path / "out", Choices(), quiet=True)
    assert not (tmp_path / "out").exists()


def test_a_foreign_folder_is_refused(flare: Flare, tmp_path: Path) -> None:
    root = flare(row("A"))
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.txt").write_text("precious")
    with pytest.raises(EnvironmentProblem):
        prepare(root, tmp_path / "out", Choices(), quiet=True)
