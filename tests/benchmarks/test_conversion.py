"""The conversion benchmark, on a small model."""

from __future__ import annotations

from pathlib import Path

import pytest
from safetensors import safe_open

from benchmarks import conversion
from tests.training.conversion.original_internvl import LOGITS, SMALL_LANGUAGE, SMALL_VISION

QWENS_LOGITS = 151_674


@pytest.mark.model
def test_what_was_written_is_converted_and_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(conversion, "TRUE_VISION", SMALL_VISION)
    monkeypatch.setattr(conversion, "TRUE_LANGUAGE", SMALL_LANGUAGE | {"vocab_size": QWENS_LOGITS})
    monkeypatch.setattr(conversion, "in_a_process", lambda function, *arguments: function(*arguments))
    monkeypatch.setattr("sys.argv", ["conversion", str(tmp_path)])
    conversion.main()
    printed = capsys.readouterr().out
    assert "tensors in 4 files" in printed and "0.04" in printed.split()[-1]
    assert [path.name for path in tmp_path.iterdir()] == ["original"]


def test_holes_read_as_zeros_and_take_no_disk(tmp_path: Path) -> None:
    shapes = {"a": (LOGITS, 1000), "b": (3,)}
    conversion.write_holes(tmp_path / "x.safetensors", shapes)
    assert (tmp_path / "x.safetensors").stat().st_blocks * 512 < 100_000
    with safe_open(tmp_path / "x.safetensors", "pt") as opened:
        assert {name: tuple(opened.get_tensor(name).shape) for name in opened.keys()} == shapes  # noqa: SIM118
        assert not opened.get_tensor("a").any()
