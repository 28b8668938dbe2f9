"""The commands `mevlip image verify|diff`, for whoever has an archive and no engine."""

from __future__ import annotations

from pathlib import Path

import click

from mevlip.cli.options import INPUT_FILE, INPUT_FOLDER, json_option, quiet_option

_archive = click.Path(exists=True, path_type=Path)
_SHOWN = 20
"""Most rows of a kind in the table of `image diff`."""


@click.command()
@click.argument("folder", metavar="DIR", type=INPUT_FOLDER)
@click.option("--key", type=INPUT_FILE, help="Public key of minisign, for the signature of SHA256SUMS.")
@quiet_option
def verify(folder: Path, key: Path | None, quiet: bool) -> None:
    """Verify a release that was received; no engine is needed.

    DIR has the archive and its release files. Checksums, every layer, manifest, SBOM and provenance are compared with
    what the archive contains; with --key, the signature SHA256SUMS.minisig is verified.

    \b
    Example: mevlip image verify dist --key team.pub
    """
    from mevlip.core.tables import table
    from mevlip_release.verification import require_passed, verify_release

    checks = verify_release(folder, key, quiet)
    click.echo(table(("check", "result", "found"), [(check.name, check.result, check.detail) for check in checks]))
    require_passed(checks, folder)


@click.command()
@click.argument("first", metavar="A", type=_archive)
@click.argument("second", metavar="B", type=_archive)
@json_option
@quiet_option
def diff(first: Path, second: Path, json_file: Path | None, quiet: bool) -> None:
    """Show what differs between two archives; no engine is needed.

    A and B are archives, or folders with one. Compared are labels, layers, packages, weights, and files as a container
    sees them. The status is 0 whether they differ or not; --json lists everything.

    \b
    Example: mevlip image diff old/team.tar.gz dist
    """
    from mevlip.core.tables import table
    from mevlip_release.difference import compare_images, find_archive
    from mevlip_release.inspection import inspect_archive
    from mevlip_validation.output import write_json

    archives = [find_archive(path) for path in (first, second)]
    found = compare_images(*(inspect_archive(path, quiet) for path in archives))
    click.echo("\n".join(found.summary()))
    for kind in found.equal:
        rows = [change.row() for change in found.changes if change.kind == kind]
        if rows:
            click.echo("\n" + table(("what", "name", "A", "B"), rows[:_SHOWN]))
        if len(rows) > _SHOWN:
            click.echo(f"and {len(rows) - _SHOWN} more; --json FILE lists them")
    if json_file:
        write_json(found.plain(), json_file)
