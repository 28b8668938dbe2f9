"""Text files as passages: pieces of text, each with its place and with what it is called there."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from html.parser import HTMLParser
from typing import Any

from mevlip_validation.phi.identifiers import Kind, find_identifiers, is_log_level, without_log_stamp

_LONGEST_LABEL = 60
_LEAST_NUMBER = 1000  # shorter numbers are no identifiers without text around them
_TIME_KEYS = frozenset(("@timestamp", "asctime", "created", "datetime", "time", "timestamp", "ts"))
_CONTROLS = bytes({*range(32)} - {8, 9, 10, 12, 13, 27})
_MARKS = ((b"\xef\xbb\xbf", "utf-8-sig"), (b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16"))


@dataclass(frozen=True)
class Passage:
    """A piece of a file's text.

    Attributes:
        place: Where it stands, such as `line 3`, `[0].Answer` or a tag.
        text: The text.
        label: What it is called there: a key, a column, an attribute.
        kind: What all of it is by its place alone; None where patterns decide.
    """

    place: str
    text: str
    label: str = ""
    kind: Kind | None = None


def decode(content: bytes) -> str | None:
    """The text of a file; None where its bytes are not text.

    UTF-8, UTF-16 with a byte order mark, and else Windows-1252, in which every byte has a meaning or is replaced.
    """
    for mark, encoding in _MARKS:
        if content.startswith(mark):
            return content.decode(encoding, "replace")
    if len(content) - len(content.translate(None, _CONTROLS)) > len(content) // 100:
        return None
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError:
        return content.decode("cp1252", "replace")


def read_passages(suffix: str, text: str) -> Iterator[Passage]:
    """Yields the passages of a text file.

    Args:
        suffix: The end of its name in lower case, such as `.csv`; the content decides where the two disagree.
        text: The file's text.
    """
    start = text.lstrip()[:1]
    if suffix in (".jsonl", ".ndjson"):
        yield from _json_lines(text)
    elif start in ("[", "{") and (content := _parse(text)) is not None:
        yield from json_passages(content)
    elif suffix in (".csv", ".tsv"):
        yield from _csv_passages(text)
    elif start == "<" or suffix in (".html", ".htm", ".xml", ".xhtml", ".svg", ".xmp"):
        yield from markup_passages(text)
    else:
        yield from lines(text)


def lines(text: str, place: str = "", label: str = "") -> Iterator[Passage]:
    """Yields the lines of a text; a table in Markdown cell by cell.

    Args:
        text: The text.
        place: Where the text stands. Line numbers are added if it has several lines, or if this is empty.
        label: What it is called there.
    """
    header: list[str] = []
    rows = re.split(r"\r\n|\r|\n", text)
    for number, row in enumerate(rows, 1):
        where = place if place and len(rows) == 1 else ", ".join(filter(None, [place, f"line {number}"]))
        cells = _table_cells(row)
        if cells and number < len(rows) and _is_rule(_table_cells(rows[number])):
            header = cells
            yield from (Passage(where, cell) for cell in cells)
        elif cells and header and len(cells) == len(header):
            yield from () if _is_rule(cells) else labeled(where, header, cells)
        else:
            header = header if cells else []
            # Only a file's own line is a log's; a value may hold a time alone.
            yield Passage(where, row if place else without_log_stamp(row), label)
        # "Patient:" may stand above its name.
        stripped = row.strip()
        label = stripped.rstrip(" :*_") if stripped.endswith((":", ":**")) and len(stripped) < _LONGEST_LABEL else ""


def json_passages(content: Any, place: str = "") -> Iterator[Passage]:
    """Yields the keys, texts and long numbers of parsed JSON, each labeled by the last two keys that lead to it."""
    stack: list[tuple[str, str, str, Any]] = [(place, "", "", content)]
    keys: set[str] = set()  # records repeat them
    while stack:
        where, above, label, value = stack.pop()
        if isinstance(value, dict):
            times = _TIME_KEYS if any(is_log_level(value.get(key)) for key in ("level", "levelname")) else frozenset()
            for key in sorted(value.keys() - keys):
                yield Passage(f"{where}, a key".lstrip(", "), key)
            keys |= value.keys()
            stack += [
                (f"{where}.{key}".lstrip("."), label, key, "" if key.lower() in times else inner)
                for key, inner in reversed(value.items())
            ]
        elif isinstance(value, list):
            stack += [
                (f"{where}[{index}]", above, label, value[index])
                for index in range(len(value) - 1, -1, -1)
                if not isinstance(value[index], int | float) or abs(value[index]) >= _LEAST_NUMBER
            ]
        elif isinstance(value, str) or (isinstance(value, int) and abs(value) >= _LEAST_NUMBER):
            yield from lines(str(value), where or "the value", f"{above} > {label}" if above else label)


def markup_passages(text: str) -> Iterator[Passage]:
    """Yields the text, attributes, comments and scripts of HTML or XML."""
    reader = _Markup()
    try:
        reader.feed(text)
        reader.close()
    except AssertionError:  # the parser's answer to a broken declaration
        yield from lines(text)
        return
    reader.flush()
    yield from reader.passages


def labeled(where: str, header: Sequence[str], cells: Iterable[str]) -> Iterator[Passage]:
    """Yields the cells of a table's row, each labeled by its column."""
    for name, cell in zip(header, cells, strict=False):
        yield from lines(cell, f"{where}, column {name or '?'}", name)


def _parse(text: str) -> Any:
    """JSON's value; None where the text is not JSON."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _json_lines(text: str) -> Iterator[Passage]:
    for number, line in enumerate(text.split("\n"), 1):
        content = _parse(line)
        if isinstance(content, dict | list):
            yield from json_passages(content, f"line {number}: ")
        else:
            yield from lines(line.rstrip("\r"), f"line {number}")


def _csv_passages(text: str) -> Iterator[Passage]:
    first = text.split("\n", 1)[0]
    delimiter = max(",;\t|", key=first.count)
    header: list[str] | None = None
    found: list[Passage] = []
    try:
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
        for row in reader:
            where = f"line {reader.line_num}"
            if header is None:
                header = row if _is_header(row) else []
                if header:
                    found += [Passage(where, cell) for cell in row]
                    continue
            if header:
                found += labeled(where, [*header, *[""] * (len(row) - len(header))], row)
            else:
                # Without a header the cell before may be the label: `Patient,Jane Doe`.
                for label, cell in zip(["", *row], row, strict=False):
                    found += lines(cell, where, label if len(label) < _LONGEST_LABEL else "")
    except csv.Error:  # such as a cell beyond the module's bound
        yield from lines(text)
        return
    yield from found


def _is_header(row: Sequence[str]) -> bool:
    """Whether the first row of a table holds the names of its columns, not values or a name with its value."""
    pair = len(row) == 2 and find_identifiers(row[1], row[0])
    return not (pair or re.search(r"\d{3}", "".join(row)) or any(map(find_identifiers, row)))


def _is_rule(cells: Sequence[str]) -> bool:
    """Whether the cells of a row in Markdown are the line below a header."""
    return bool(cells) and all(re.fullmatch(r":?-+:?", cell) for cell in cells)


def _table_cells(row: str) -> list[str]:
    stripped = row.strip()
    return [cell.strip() for cell in stripped.strip("|").split("|")] if stripped.startswith("|") else []


_BLOCK_TAGS = """
address article aside blockquote body br button caption center dd details div dl dt fieldset figcaption figure footer
form h1 h2 h3 h4 h5 h6 head header hr html label legend li main nav ol option p pre section select summary table tbody
td text textarea tfoot th thead title tr ul
"""
_INLINE_TAGS = """
a abbr b bdi bdo big cite code del dfn em font i img input ins kbd link mark meta q r rpr s samp small span strike
strong sub sup t time tt u var w:r w:rpr w:t wbr
"""
_VOID_TAGS = "area base br col embed hr img input link meta param source track wbr"
_BLOCKS = frozenset(_BLOCK_TAGS.split())
_INLINE = frozenset(_INLINE_TAGS.split())
_VOID = frozenset(_VOID_TAGS.split())
_MOST_OPEN = 100
_CONTAINERS = frozenset(("item", "li", "p", "rdf:alt", "rdf:bag", "rdf:li", "rdf:seq", "string", "text", "value"))
_GEOMETRY = frozenset(("class", "d", "points", "style", "transform", "viewbox", "xmlns"))


class _Markup(HTMLParser):
    """Collects passages: text in one block is one passage, whatever inline tags divide it."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.passages: list[Passage] = []
        self._pieces: list[str] = []
        self._line = 1
        self._open: list[str] = []
        self._label = ""
        self._row: list[str] | None = None
        self._heads = 0
        self._header: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Ends the block before it, and reads the attributes."""
        if tag not in _INLINE:
            self.flush()
        if tag == "table":
            self._header = []
        elif tag == "tr":
            self._row, self._heads = [], 0
        self._heads += tag == "th"
        if tag not in _VOID and len(self._open) < _MOST_OPEN:
            self._open.append(tag)
        line = self.getpos()[0]
        called = next((value for name, value in attrs if name in ("name", "property", "itemprop") and value), "")
        for name, value in attrs:
            if value and name not in _GEOMETRY and not name.startswith("xmlns:"):
                label = called if name in ("content", "value") and called else name.rpartition(":")[2]
                self.passages += lines(value, f"line {line}, attribute {name}", label)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """An element without content."""
        self.handle_starttag(tag, attrs)
        self.handle_endtag(tag)

    def handle_endtag(self, tag: str) -> None:
        """Ends the block, the cell or the row."""
        if tag == "tr" and self._row is not None:
            self.flush()
            self._end_row()
        elif tag not in _INLINE:
            self.flush(label_only=tag == "dt")
        if tag in self._open:
            while self._open.pop() != tag:
                continue

    def handle_data(self, data: str) -> None:
        """Text, and what stands in a script."""
        if self._open and self._open[-1] == "style":
            return
        if self._open and self._open[-1] == "script":
            content = _parse(data)
            place = f"line {self.getpos()[0]}, script"
            self.passages += lines(data, place) if content is None else json_passages(content, f"{place}: ")
            return
        if not self._pieces:
            self._line = self.getpos()[0]
        self._pieces.append(data)

    def handle_comment(self, data: str) -> None:
        """A comment, which a browser does not show."""
        self.passages += lines(data, f"line {self.getpos()[0]}, comment")

    def flush(self, *, label_only: bool = False) -> None:
        """Makes a passage of the text since the last block."""
        text = " ".join("".join(self._pieces).split())
        self._pieces = []
        if not text:
            return
        if self._row is not None:
            self._row.append(text)
            return
        tags = (tag for tag in reversed(self._open) if tag not in _BLOCKS | _INLINE | _CONTAINERS)
        label = self._label or next(tags, "").rpartition(":")[2]
        self.passages.append(Passage(f"line {self._line}", text, label))
        is_label = label_only or (text.endswith(":") and len(text) < _LONGEST_LABEL)
        self._label = text.rstrip(" :") if is_label else ""

    def _end_row(self) -> None:
        row, self._row = self._row or [], None
        where = f"line {self.getpos()[0]}"
        if row and len(row) == self._heads:
            self._header = row
            self.passages += [Passage(where, cell) for cell in row]
        elif len(row) == len(self._header) > 0:
            self.passages += labeled(where, self._header, row)
        else:
            self.passages.append(Passage(where, " | ".join(row)))
