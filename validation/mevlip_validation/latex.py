"""Tables for a paper: booktabs, without any other package."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from mevlip.core.files import write_text_atomically
from mevlip.core.text import visible
from mevlip_validation.output import score_rows
from mevlip_validation.score import Score

_SPECIAL = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "%": r"\%",
    "_": r"\_",
    "&": r"\&",
    "#": r"\#",
    "$": r"\$",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
}
_NUMBER = re.compile(r"[-+]?(?:\d+(?:\.\d+)?|inf)")
_ESTIMATE = re.compile(rf"({_NUMBER.pattern}) (\[{_NUMBER.pattern}, {_NUMBER.pattern}\])")


def escape(text: str) -> str:
    """A text as LaTeX prints it; characters that cannot be seen are escaped as for a terminal."""
    return "".join(_SPECIAL.get(char, char) for char in visible(text))


def cell(text: str) -> str:
    """A cell of a table: a score stands above its interval, signs are minus signs, an absent score is a dash."""
    if text == "-":
        return "--"
    if found := _ESTIMATE.fullmatch(text):
        return rf"\shortstack{{{_signed(found[1])} \\ {{\scriptsize {_signed(found[2])}}}}}"
    return _signed(text) if _NUMBER.fullmatch(text) else escape(text)


def latex_table(header: Sequence[str], rows: Sequence[Sequence[str]], caption: str, label: str, left: int = 1) -> str:
    """A table that floats over the whole width of the page.

    Args:
        header: The columns' names.
        rows: Cells as the terminal shows them.
        caption: What stands above it.
        label: The name to refer to it by; letters, digits, colons and hyphens.
        left: How many columns hold words and stand to the left; the others are centered.

    Returns:
        LaTeX source that needs the package booktabs.
    """
    lines = [
        r"\begin{table*}",
        r"\centering",
        r"\small",
        r"\setlength{\tabcolsep}{4pt}",
        rf"\caption{{{escape(caption)}}}",
        rf"\label{{{label}}}",
        rf"\begin{{tabular}}{{{'l' * left}{'c' * (len(header) - left)}}}",
        r"\toprule",
        _line(map(escape, header)),
        r"\midrule",
        *(_line(map(cell, row)) for row in rows),
        r"\bottomrule",
        r"\end{tabular}",
        r"\end{table*}",
    ]
    return "\n".join(lines) + "\n"


def score_table(scores: Sequence[Score], questions: int, first: str = "") -> str:
    """The score table: task, number of questions, measure, and each protocol's score with its interval.

    Args:
        scores: The scores.
        questions: Number of scored questions.
        first: The protocol whose column comes first.
    """
    header, rows = score_rows(scores, first=first)
    places = [0, 2, *(place for place in range(1, len(header)) if place != 2)]  # words first
    names = ["n" if header[place] == "questions" else header[place] for place in places]
    caption = (
        f"Scores of {questions} questions under each protocol, with 95 % confidence intervals of a bootstrap over "
        "images. Counting and regression are errors: less is better."
    )
    return latex_table(names, [[row[place] for place in places] for row in rows], caption, "tab:scores", left=2)


def write_latex(path: Path, *tables: str) -> None:
    """Writes tables as a file for `\\input`.

    Raises:
        EnvironmentProblem: The file cannot be written.
    """
    write_text_atomically(path, "\n".join(("% \\usepackage{booktabs}", *tables)))


def _line(cells: Iterable[str]) -> str:
    text = " & ".join(cells)
    protected = f"{{}}{text}" if text[:1] in ("[", "*") else text  # after \\\\ these would be its arguments
    return rf"{protected} \\"


def _signed(text: str) -> str:
    """Numbers with minus and plus signs instead of hyphens, infinity as its sign."""
    return re.sub(r"[-+]", lambda sign: f"${sign[0]}$", text).replace("inf", r"$\infty$")
