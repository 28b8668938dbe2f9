from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from mevlip.checkpoints.routes import ImageSettings
from mevlip.flare.questions import read_input_folder
from mevlip.flare.store import ImageStore
from mevlip_validation.withheld_images import BLANK_IMAGES, QUESTION_ONLY
from tests.conftest import FakeModel, answer_folder, record


def test_blank_images_keep_their_sizes_and_their_problems(write_questions: Callable[..., Path]) -> None:
    root = write_questions([record(image=["imagesVal/a.jpg", "imagesVal/b.png", "gone.png"])])
    (root / "Xray/set/gone.png").unlink()
    folder = read_input_folder(root)
    loaded = BLANK_IMAGES.change(ImageStore(folder.root).load(folder.questions[0], ImageSettings()))
    assert [image.size for image in loaded.images] == [(40, 30)] * 2
    assert {image.getcolors()[0] for image in loaded.images} == {(1200, (128, 128, 128))}  # type: ignore[index]
    assert loaded.problems == ("image 'gone.png': not found beside its question file",) and loaded.named == 3


@pytest.mark.model
def test_a_question_alone_is_asked_by_its_text(write_questions: Callable[..., Path], tmp_path: Path) -> None:
    root = write_questions([record(), record(image=["a.png"])])
    model = FakeModel()
    report = answer_folder(root, tmp_path / "out", model, perturbation=QUESTION_ONLY)
    assert [counts for _, _, counts, _ in model.batches] == [[0, 0]]
    assert not any(answer.failed or answer.problems for answer in report.answers)


@pytest.mark.model
def test_answers_about_other_images_are_not_resumed(write_questions: Callable[..., Path], tmp_path: Path) -> None:
    root = write_questions([record("One? A: x, B: y"), record("Other? A: x, B: y")])
    calls = iter(range(10))

    def stop(adapter: str, text: str) -> str:
        if next(calls):
            raise KeyboardInterrupt
        return "B"

    with pytest.raises(KeyboardInterrupt):
        answer_folder(root, tmp_path / "out", FakeModel(stop), routing="generalist", batch_tokens=1)
    options = {"routing": "generalist", "batch_tokens": 1}
    assert answer_folder(root, tmp_path / "out", FakeModel(), perturbation=BLANK_IMAGES, **options).resumed == 0
