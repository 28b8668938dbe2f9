from __future__ import annotations

from pathlib import Path

import pytest

from mevlip.core.errors import EnvironmentProblem
from mevlip_training.data.folders import whole_folder


def write(out: Path, source: Path, content: str = "new") -> None:
    with whole_folder(out, "mark.json", source) as folder:
        assert not (out / "mark.json").exists() or (out / "mark.json").read_text() != content
        (folder / "mark.json").write_text(content)


def test_a_new_an_empty_and_an_own_folder_are_written(tmp_path: Path) -> None:
    write(tmp_path / "deep" / "new", tmp_path / "in")
    (tmp_path / "empty").mkdir()
    write(tmp_path / "empty", tmp_path / "in")
    write(tmp_path / "empty", tmp_path / "in", "again")
    assert (tmp_path / "empty" / "mark.json").read_text() == "again"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["deep", "empty"]


def test_a_foreign_folder_or_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "foreign").mkdir()
    (tmp_path / "foreign" / "thesis.txt").write_text("precious")
    for out in (tmp_path / "foreign", tmp_path / "foreign" / "thesis.txt"):
        with pytest.raises(EnvironmentProblem, match="not written by this command"):
            write(out, tmp_path / "in")
    assert (tmp_path / "foreign" / "thesis.txt").read_text() == "precious"


def test_an_interrupted_run_leaves_the_old_folder_as_it_was(tmp_path: Path) -> None:
    write(tmp_path / "out", tmp_path / "in", "old")
    with pytest.raises(KeyboardInterrupt), whole_folder(tmp_path / "out", "mark.json", tmp_path / "in") as folder:
        (folder / "mark.json").write_text("half")
        raise KeyboardInterrupt
    assert (tmp_path / "out" / "mark.json").read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


@pytest.mark.parametrize(("out", "source"), [("a", "a"), ("a/b", "a"), ("a", "a/b")])
def test_the_input_is_never_overwritten(tmp_path: Path, out: str, source: str) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    with pytest.raises(EnvironmentProblem, match="within each other"):
        write(tmp_path / out, tmp_path / source)
