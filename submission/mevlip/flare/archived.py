"""Which zip archives may hold the images of a question file, and what their members are called beside it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath

from mevlip.flare.images import IMAGE_FOLDERS

_NOTES = "__MACOSX"
"""Folder of a packer's own notes."""


def find_archives(folder: Path, root: Path) -> list[Path]:
    """Archives beside a question file, in a folder there that has no questions itself, and beside the file's folder.

    Args:
        folder: The question file's folder.
        root: The input folder; nothing outside it is looked at.
    """
    deeper = [path for path in folder.glob("*/*.zip") if not any(path.parent.glob("*.json"))]
    around = folder.parent.glob("*.zip") if folder != root else ()
    return [*sorted(folder.glob("*.zip")), *sorted(deeper), *sorted(around)]


def names_beside(
    folder: Path, archive: Path, members: Sequence[PurePosixPath]
) -> Iterator[tuple[PurePosixPath, PurePosixPath]]:
    """The paths by which a record may name an archive's members, an image folder's name in front.

    Members may lack that folder, as in an archive made inside it; then the archive's own name stands for it, or that of
    the image folder in which it lies. A single folder around all members, as in an archive made outside it, may be left
    out; of several none may, because they may hold different images of one name. Of an archive beside the question
    file's folder, only the members that are in a folder of that name count, or all if it has that name itself.

    Args:
        folder: The question file's folder.
        archive: The archive, as `find_archives` gives it.
        members: Its files.

    Yields:
        A path, and the member that it names.
    """
    members = [member for member in members if member.parts[0] != _NOTES]
    if archive.parent == folder.parent:
        inside = {member: PurePosixPath(*member.parts[1:]) for member in members if member.parts[0] == folder.name}
        if archive.stem == folder.name:
            inside = {member: inside.get(member, member) for member in members}
        yield from ((_in_image_folder(path, "images"), member) for member, path in inside.items() if path.parts)
        return
    within = archive.parent.name
    front = within if archive.parent != folder and within in IMAGE_FOLDERS else archive.stem
    yield from ((_in_image_folder(member, front), member) for member in members)
    around = {member.parts[0] for member in members}
    if len(around) == 1 and not around & set(IMAGE_FOLDERS) and all(len(member.parts) > 1 for member in members):
        for member in members:
            yield _in_image_folder(PurePosixPath(*member.parts[1:]), front), member


def _in_image_folder(path: PurePosixPath, otherwise: str) -> PurePosixPath:
    return path if path.parts[0] in IMAGE_FOLDERS else PurePosixPath(otherwise, path)
