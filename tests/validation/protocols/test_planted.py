"""A protocol that is added as one file, and nothing else, is read, scored and shown."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from mevlip.answers.choice import Choice
from mevlip.tasks import TaskType
from mevlip_validation import protocols
from mevlip_validation.comparison import compare_systems
from mevlip_validation.output import render_scores, score_rows
from mevlip_validation.protocols.misreadings import misreadings
from mevlip_validation.score import score
from tests.validation.rows import make_row

PLANTED = '''
"""Counts answers of the right length."""

from mevlip.tasks import TaskType
from mevlip_validation.protocols import Formula, Protocol, Reader
from mevlip_validation.statistics import Aggregate


def score_lengths(measure):
    def statistic(rows):
        return Aggregate(tuple(float(len(row.target) == len(row.prediction or "")) for row in rows))

    return Formula("same-length,pooled", statistic)


def nothing(text):
    return None


def length(text):
    return str(len(text))


PROTOCOL = Protocol(
    "lengths",
    "a test",
    Reader(length, nothing, nothing, nothing, nothing, nothing),
    scorers={TaskType.CLASSIFICATION: score_lengths},
)
'''


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder whose modules belong to the protocols package while the test runs."""
    monkeypatch.setattr(protocols, "__path__", [*protocols.__path__, str(tmp_path)])
    for name in ("lengths", "empty"):
        monkeypatch.delitem(sys.modules, f"{protocols.__name__}.{name}", raising=False)
        monkeypatch.delattr(protocols, name, raising=False)
    return tmp_path


def test_a_fourth_protocol_is_one_more_column(folder: Path) -> None:
    rows = [
        make_row(TaskType.CLASSIFICATION, "B", "A", image="a.png"),
        make_row(TaskType.CLASSIFICATION, "A and B", "A", image="b.png"),
        make_row(TaskType.COUNTING, "5", "5"),
    ]
    before = render_scores(score(rows))
    (folder / "lengths.py").write_text(PLANTED)
    assert "lengths" not in before
    header, cells = score_rows(score(rows))
    assert header[3:7] == ("flare25", "flare26", "macro", "lengths")
    assert [row[6].split()[0] for row in cells] == ["0.500", "-"], "it knows classification only"
    assert "lengths" in render_scores(score(rows)).splitlines()[0]
    [mine] = [one for one in score(rows) if one.scoring.protocol == "lengths"]
    assert mine.scoring.signature == "lengths/same-length,pooled|1"
    compared = compare_systems({"one": rows[:2], "other": rows[:2]})
    assert [one.scoring.protocol for one in compared.pairs] == ["flare25", "flare26", "macro", "lengths"]
    assert ("lengths", "") in set(misreadings(Choice("A"), protocols.protocols()))


def test_a_file_without_a_protocol_is_named(folder: Path) -> None:
    (folder / "empty.py").write_text("PROTOCOLS = []\n")
    with pytest.raises(LookupError, match=r"protocols/empty\.py does not define PROTOCOL"):
        protocols.protocols()
