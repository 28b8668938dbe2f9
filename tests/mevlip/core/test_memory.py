from __future__ import annotations

from pathlib import Path

import psutil
import pytest

from mevlip.core import memory

GIB = 1 << 30


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> None:
    class Figures:
        available = 8 * GIB

    monkeypatch.setattr(psutil, "virtual_memory", lambda: Figures)


@pytest.mark.usefixtures("machine")
def test_a_machine_without_control_groups_offers_what_it_has(tmp_path: Path) -> None:
    assert memory.available(tmp_path) == 8 * GIB


@pytest.mark.usefixtures("machine")
@pytest.mark.parametrize(("limit", "free"), [(f"{2 * GIB}", GIB + GIB // 2), ("max", 8 * GIB), (f"{GIB // 4}", 0)])
def test_a_containers_limit_counts_and_files_in_its_cache_do_not(tmp_path: Path, limit: str, free: int) -> None:
    (tmp_path / "memory.max").write_text(f"{limit}\n")
    (tmp_path / "memory.current").write_text(f"{GIB}\n")
    (tmp_path / "memory.stat").write_text(f"anon 5\ninactive_file {GIB // 2}\n")
    assert memory.available(tmp_path) == free


@pytest.mark.usefixtures("machine")
def test_the_first_version_of_control_groups_is_read_too(tmp_path: Path) -> None:
    (tmp_path / "memory").mkdir()
    (tmp_path / "memory/memory.limit_in_bytes").write_text(f"{3 * GIB}\n")
    (tmp_path / "memory/memory.usage_in_bytes").write_text(f"{GIB}\n")
    (tmp_path / "memory/memory.stat").write_text("total_inactive_file 0\n")
    assert memory.available(tmp_path) == 2 * GIB


def test_the_peak_is_that_of_this_process() -> None:
    held = bytearray(b"x" * (64 << 20))
    assert memory.peak() > len(held)
