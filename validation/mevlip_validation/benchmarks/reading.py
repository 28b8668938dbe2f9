"""Reading the files of published benchmarks: within bounds, inside their folder, and never as a program."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from mevlip.core.errors import EnvironmentProblem, InputError
from mevlip.core.extras import needing
from mevlip.core.files import LARGEST_LIST, NotReadable, read_bounded
from mevlip.core.text import visible
from mevlip.flare.images import image_path
from mevlip.flare.pixels import MAX_BYTES, ImageError

_BATCH = 32  # pictures of a Parquet file that are in memory together


@dataclass(frozen=True)
class Record:
    """One record of a file.

    Attributes:
        where: Its place, for messages.
        fields: Its fields as found.
    """

    where: str
    fields: dict[str, Any]

    def text(self, *names: str) -> str:
        """A text field, by the first of several names that it has.

        Raises:
            InputError: It is absent, empty or not a text; numbers count as text.
        """
        value = next((self.fields[name] for name in names if name in self.fields), None)
        if isinstance(value, int | float) and not isinstance(value, bool):
            value = str(value)
        if not isinstance(value, str) or not value.strip():
            kind = "is absent" if value is None else "is empty" if value == "" else f"is {visible(repr(value), 60)}"
            raise InputError(
                f"{self.where}: field {names[0]!r} {kind} where a text is expected",
                "Download the file again, or name the folder of this benchmark.",
            )
        return value.strip()

    def get(self, name: str) -> str:
        """A text field, empty where it is absent or not a text."""
        value = self.fields.get(name)
        return value.strip() if isinstance(value, str) else ""


class Source:
    """The folder of a benchmark as it was downloaded and unpacked.

    Args:
        root: The folder.

    Raises:
        InputError: It does not exist.
    """

    def __init__(self, root: Path) -> None:
        if not root.is_dir():
            raise InputError(f"The folder {root} does not exist", "Name the folder of the unpacked benchmark.")
        self.root = root.resolve()

    def find(self, *patterns: str) -> list[Path]:
        """The files of the first pattern that has any, in order."""
        for pattern in patterns:
            if found := sorted(path for path in self.root.glob(pattern) if path.is_file()):
                return found
        return []

    def folder(self, *names: str) -> str:
        """The first of several folders that is there, relative to the source; the first name where none is."""
        return next((name for name in names if (self.root / name).is_dir()), names[0])

    def image(self, name: str) -> Path:
        """The file of a picture named in a record.

        Raises:
            ImageError: It leaves the folder or is not there.
        """
        path = self.root / image_path(name)
        if not path.is_file():
            raise ImageError("is not there")
        if not path.resolve().is_relative_to(self.root):
            raise ImageError("is a link that leaves the folder")
        return path

    def json(self, path: Path) -> Any:
        """The content of a JSON file.

        Raises:
            InputError: It cannot be read or is not JSON.
        """
        try:
            return json.loads(self._read(path).decode("utf-8-sig"))
        except (ValueError, RecursionError) as error:
            raise self._broken(path, f"is not valid JSON ({error})") from error

    def records(self, path: Path) -> Iterator[Record]:
        """The records of a JSON list, of lines of JSON (`.jsonl`), or of a CSV file with a header.

        Raises:
            InputError: It cannot be read, or an entry is not a record.
        """
        if path.suffix == ".csv":
            yield from self._csv(path)
            return
        if path.suffix == ".jsonl":
            try:
                content = [
                    json.loads(line) for line in self._read(path).decode("utf-8-sig").split("\n") if line.strip()
                ]
            except (ValueError, RecursionError) as error:
                raise self._broken(path, f"is not lines of JSON ({error})") from error
        else:
            content = self.json(path)
        yield from self.list_of(content, self.name(path))

    def list_of(self, content: Any, where: str) -> Iterator[Record]:
        """The records of a list that was read.

        Raises:
            InputError: It is not a list of records.
        """
        if not isinstance(content, list):
            raise InputError(f"{where} is a {type(content).__name__}, not a list of records", "Download it again.")
        for index, fields in enumerate(content):
            place = f"{where}[{index}]"
            if not isinstance(fields, dict):
                raise InputError(f"{place} is a {type(fields).__name__}, not a record", "Download the file again.")
            yield Record(place, fields)

    def parquet(self, path: Path) -> Iterator[tuple[Record, bytes]]:
        """The records of a Parquet file with a column `image`, each with its picture's bytes.

        Raises:
            InputError: It is not such a file, or a picture is missing or too large.
            EnvironmentProblem: pyarrow is not installed.
        """
        with needing("benchmarks", "Parquet files need"):
            import pyarrow
            from pyarrow import parquet
        if not path.resolve().is_relative_to(self.root):
            raise self._broken(path, "is a link that leaves the folder")
        columns = ["image", "question", "answer"]
        index = 0
        try:
            with parquet.ParquetFile(path) as file:
                for batch in file.iter_batches(batch_size=_BATCH, columns=columns):
                    for fields in batch.to_pylist():
                        record = Record(f"{self.name(path)}[{index}]", fields)
                        yield record, _picture(record)
                        index += 1
        except pyarrow.ArrowException as error:
            raise self._broken(path, f"is not a readable Parquet file ({type(error).__name__})") from error

    def name(self, path: Path) -> str:
        """A file's path below the source, for messages."""
        return visible(PurePosixPath(path.relative_to(self.root)).as_posix())

    def _csv(self, path: Path) -> Iterator[Record]:
        text = self._read(path).decode("utf-8-sig", "replace")
        try:
            for index, fields in enumerate(csv.DictReader(io.StringIO(text, newline=""))):
                yield Record(f"{self.name(path)}[{index}]", {str(key).strip(): value for key, value in fields.items()})
        except csv.Error as error:
            raise self._broken(path, f"is not valid CSV ({error})") from error

    def _read(self, path: Path) -> bytes:
        try:
            return read_bounded(path, LARGEST_LIST, self.root)
        except NotReadable as error:
            raise self._broken(path, str(error.strerror)) from error
        except OSError as error:
            raise EnvironmentProblem(f"{path} cannot be read ({error.strerror})", "Check its permissions.") from error

    def _broken(self, path: Path, cause: str) -> InputError:
        return InputError(f"{self.name(path)} {cause}", "Download the file again.")


def _picture(record: Record) -> bytes:
    image = record.fields.get("image")
    content = image.get("bytes") if isinstance(image, dict) else image
    if not isinstance(content, bytes) or not 0 < len(content) <= MAX_BYTES:
        raise InputError(
            f"{record.where}: field 'image' holds no picture of at most {MAX_BYTES / 2**20:g} MiB",
            "Download the file again.",
        )
    return content
