"""LaTeX is not installed here: what is checked is what a compiler would stumble over."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mevlip.tasks import TaskType
from mevlip_validation.baselines import CONSTANT, constant_rows
from mevlip_validation.latex import cell, escape, latex_table, score_table, write_latex
from mevlip_validation.score import score
from tests.validation.rows import make_row


def check_structure(text: str) -> None:
    """Braces and environments are balanced, and every row has as many cells as there are columns."""
    depth = 0
    for token in re.findall(r"\\.|[{}]", text):
        depth += (token == "{") - (token == "}")
        assert depth >= 0
    assert depth == 0
    opened: list[str] = []
    for kind, name in re.findall(r"\\(begin|end)\{([^}]*)\}", text):
        if kind == "begin":
            opened.append(name)
        else:
            assert opened.pop() == name
    assert not opened
    for table in re.findall(r"\\begin\{tabular\}\{(\w+)\}(.*?)\\end\{tabular\}", text, re.DOTALL):
        columns, body = table
        lines = [line for line in body.splitlines() if line and not re.fullmatch(r"\\\w+", line)]
        assert lines and all(line.endswith(r" \\") for line in lines)
        assert {len(re.findall(r"(?<!\\)&", line)) for line in lines} == {len(columns) - 1}


def test_the_score_table_is_whole(tmp_path: Path) -> None:
    rows = [make_row(TaskType.CLASSIFICATION, "AB"[n % 2], "A", image=f"{n}.png") for n in range(9)]
    rows += [make_row(TaskType.COUNTING, "x", "3", image=f"{n}.png") for n in range(9)]
    text = score_table(score(rows, {CONSTANT: constant_rows(rows, rows), "50%_& more": rows}, 50), len(rows))
    check_structure(text)
    assert re.search(r"task & measure & n & flare25 & flare26 & macro & constant & gain & 50\\%\\_\\& more", text)
    assert "n & board2026 & flare25" in score_table(score(rows), len(rows), "board2026")
    assert re.search(r"Classification & balanced accuracy & 9 & \\shortstack\{0\.556 \\\\ \{\\scriptsize \[", text)
    assert r"$\infty$" in text and "95 \\% confidence intervals" in text
    write_latex(tmp_path / "t/scores.tex", text)
    written = (tmp_path / "t/scores.tex").read_text("utf-8")
    assert written.startswith("% \\usepackage{booktabs}\n") and text in written
    assert set(re.findall(r"\\(\w+rule)", written)) == {"toprule", "midrule", "bottomrule"}


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("-", "--"),
        ("0.812 [0.790, 0.830]", r"\shortstack{0.812 \\ {\scriptsize [0.790, 0.830]}}"),
        ("-0.120 [-0.300, +0.100]", r"\shortstack{$-$0.120 \\ {\scriptsize [$-$0.300, $+$0.100]}}"),
        ("inf [3.000, inf]", r"\shortstack{$\infty$ \\ {\scriptsize [3.000, $\infty$]}}"),
        ("+0.500", "$+$0.500"),
        ("inf", r"$\infty$"),
        ("nothing [such, as]", "nothing [such, as]"),
        ("not run", "not run"),
        ("F1 at IoU 0.5", "F1 at IoU 0.5"),
    ],
)
def test_a_cell_is_what_it_means(text: str, shown: str) -> None:
    assert cell(text) == shown


def test_what_means_something_to_latex_is_escaped() -> None:
    assert escape(r"100% a_b & c#1 {x} $y$ \z ~^<>|") == (
        r"100\% a\_b \& c\#1 \{x\} \$y\$ \textbackslash{}z \textasciitilde{}\textasciicircum{}\textless{}"
        r"\textgreater{}\textbar{}"
    )
    assert escape("a\nb\x1b") == r"a\textbackslash{}nb\textbackslash{}x1b"


def test_a_row_that_begins_like_an_argument_is_not_one() -> None:
    text = latex_table(["a", "b"], [["[1]", "x"], ["*", "y"]], "", "tab:x")
    assert "\n{}[1] & x" in text and "\n{}* & y" in text


@given(st.lists(st.text(max_size=12), min_size=2, max_size=4), st.text(max_size=30))
def test_no_text_breaks_a_table(cells: list[str], caption: str) -> None:
    text = latex_table(cells, [cells, cells], caption, "tab:x")
    check_structure(text)
    assert not re.search(r"(?<!\\)[%#]", text), "nothing is commented away"
    assert not re.search(r"^[\[*]", text, re.MULTILINE), "the end of a row takes no argument"
