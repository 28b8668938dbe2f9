"""Files that are not, or hardly, question files."""

from __future__ import annotations

import gzip
import json
import os
import random
import socket
import stat
from collections.abc import Iterator
from pathlib import Path

from tests.mevlip.malformed.case import FILE, GOOD, Case, file_case, picture, put

LIST = json.dumps([GOOD, GOOD])


def cases() -> Iterator[Case]:
    yield from _invalid_json()
    yield from _other_json()
    yield from _encodings()
    yield from _not_files()
    yield from _odd_names()


def _invalid_json() -> Iterator[Case]:
    contents: dict[str, str | bytes] = {
        "empty": "",
        "blank": " \n",
        "brace": "{",
        "bracket": "[",
        "comma": "[,]",
        "trailing comma": LIST[:-1] + ",]",
        "single quotes": LIST.replace('"', "'"),
        "comment": "// list\n" + LIST,
        "hash": "# list\n" + LIST,
        "two documents": LIST + LIST,
        "json lines": json.dumps(GOOD) + "\n" + json.dumps(GOOD),
        "nan in lower case": LIST.replace('"val"', "nan"),
        "python constants": LIST.replace('"val"', "None"),
        "hex": LIST.replace('"val"', "0x1F"),
        "leading zero": LIST.replace('"val"', "007"),
        "plus sign": LIST.replace('"val"', "+1"),
        "bare point": LIST.replace('"val"', "1."),
        "escape x": LIST.replace('"val"', r'"\x41"'),
        "short escape": LIST.replace('"val"', r'"\u12"'),
        "raw line break": LIST.replace('"val"', '"a\nb"'),
        "raw nul": LIST.replace('"val"', '"\0"'),
        "nul bytes": b"\0" * 4096,
        "open string": LIST[:-4],
        "extra bracket": LIST + "]",
        "missing colon": '[{"Question" "x"}]',
        "key without value": '[{"Question"}]',
        "number as key": '[{1: "x"}]',
        "quotes": '"' * 1001,
        "colons": ":" * 100,
        "brackets": "[" * 90_000,
        "braces": '{"a":' * 90_000,
        "mixed brackets": "[}" * 1000,
        "backslashes": "\\" * 1001,
        "latin-1": '[{"Question": "é"}]'.encode("latin-1"),
        "cut utf-8": '["é'.encode()[:-1] + b'"]',
        "overlong utf-8": b'["\xc0\xaf"]',
        "cut utf-16": LIST.encode("utf-16")[:-1],
        "bare ff": b"\xff" * 64,
        "gzip": gzip.compress(LIST.encode()),
        "picture": picture(),
        "html": "<!doctype html><html></html>",
        "csv": "Question,ImageName\nx,y\n",
        "yaml": "- Question: x\n  ImageName: y\n",
        "bom alone": "\ufeff",
        "two boms": ("\ufeff\ufeff" + LIST),
        "random": random.Random(1).randbytes(100_000),
    }
    contents |= {f"cut at {part}": LIST[: len(LIST) * part // 7] for part in range(1, 7)}
    for name, content in contents.items():
        yield file_case(f"json {name}", content, "is not valid JSON")


def _other_json() -> Iterator[Case]:
    for name, content in {
        "object": "{}", "null": "null", "number": "3", "text": '"Question"', "true": "true", "empty list": "[]",
        "numbers": "[1, 2]", "lists": "[[], []]", "nulls": "[null]", "nan": "NaN", "empty record": "[{}]",
        "no image": '[{"Question": "x"}]', "no question": '[{"ImageName": "x"}]',
        "question not text": '[{"Question": 3, "ImageName": "x"}]', "wrapped": f'{{"questions": {LIST}}}',
        "nested list": f"[{LIST}]", "columns": '{"Question": ["x"], "ImageName": ["y"]}',
        "balanced brackets": "[" * 90_000 + "]" * 90_000,
    }.items():  # fmt: skip
        yield file_case(f"other {name}", content, "is not a list of records")


def _encodings() -> Iterator[Case]:
    for encoding in ("utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le", "utf-32-be"):
        yield file_case(f"encoded {encoding}", LIST.encode(encoding), "", 2)
    yield file_case("encoded with blanks", "\r\n\t " + LIST.replace("}, {", "}\r\n,\t {") + "\n" * 1000, "", 2)
    for name, entries in {"numbers": "1, 2.5", "null": "null", "list": "[[]]", "text": '"x"', "nan": "NaN"}.items():
        yield file_case(f"entry {name}", f"[{json.dumps(GOOD)}, {entries}]", "is not a question record; left out", 1)
    yield file_case("ten thousand entries", f"[{json.dumps(GOOD)}, {', '.join(['0'] * 10_000)}]", "and 9980 more", 1)


def _not_files() -> Iterator[Case]:
    def bind(folder: Path) -> None:
        before = Path.cwd()
        os.chdir(folder)  # a socket's path is short
        with socket.socket(socket.AF_UNIX) as one:
            one.bind(FILE)
        os.chdir(before)

    def sparse(folder: Path) -> None:
        with (folder / FILE).open("wb") as file:
            file.truncate(1 << 35)

    def loop(folder: Path) -> None:
        (folder / FILE).symlink_to("other")
        (folder / "other").symlink_to(FILE)

    def inside(folder: Path) -> None:
        put(folder, LIST, "real")
        (folder / FILE).symlink_to("real")

    yield Case("pipe", lambda folder: os.mkfifo(folder / FILE), None, 0, "is a named pipe")
    yield Case("link to itself", lambda folder: (folder / FILE).symlink_to(FILE), None, 0, "symbolic links")
    yield Case("links in a circle", loop, None, 0, "symbolic links")
    yield Case("dangling link", lambda folder: (folder / FILE).symlink_to("absent"), None, 0, "No such file")
    yield Case("link outside", lambda folder: (folder / FILE).symlink_to("/etc/hostname"), None, 0, "leaves the input")
    yield Case("link to zeros", lambda folder: (folder / FILE).symlink_to("/dev/zero"), None, 0, "leaves the input")
    yield Case("link to stdin", lambda folder: (folder / FILE).symlink_to("/dev/stdin"), None, 0, "the input folder")
    yield Case("link to a folder", lambda folder: (folder / FILE).symlink_to("."), None)
    yield Case("socket", bind, None, 0, "cannot be read")
    yield Case("folder of that name", lambda folder: (folder / FILE).mkdir(), None)
    yield Case("sparse giant", sparse, None, 0, "is larger than the allowed")
    yield Case("link inside", inside, 2, 2)
    if _may_make_devices():
        kind = stat.S_IFCHR | 0o600
        yield Case("device", lambda f: os.mknod(f / FILE, kind, os.makedev(1, 5)), None, 0, "is a device")


def _may_make_devices() -> bool:
    return os.geteuid() == 0


def _odd_names() -> Iterator[Case]:
    for name, file in {
        "control": "\x1b[2J\x07_questions_.json",
        "line break": "a\nb_questions_.json",
        "bidi": "a\u202e_questions_.json",
        "invisible": "\u200b_questions_\ufeff.json",
        "not utf-8": "\udcff\udcfe_questions_.json",
        "emoji": "\U0001f600_questions_.json",
        "long": "n" * 230 + "_questions_val.json",
        "dash": "--help_questions_.json",
        "percent": "%s%n{0}_questions_.json",
        "quotes": "'\"`$(id)_questions_.json",
        "upper case": "A_QUESTIONS_B.JSON",
        "blank": " _questions_ .json",
        "backslash": "a\\b_questions_.json",
        "html": "<script>_questions_.json",
    }.items():
        yield Case(f"name {name}", lambda folder, file=file: put(folder, LIST, file), 2, 2)
    for name, file in {
        "hidden": f".{FILE}",
        "ground truth": "x_questions_val_withGT.json",
        "own output": "predictions.json",
    }.items():
        yield Case(f"name {name}", lambda folder, file=file: put(folder, "broken", file), None)
