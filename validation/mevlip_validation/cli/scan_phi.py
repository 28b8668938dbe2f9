"""`mevlip scan-phi`."""

from __future__ import annotations

from pathlib import Path

import click

from mevlip.cli.options import OUTPUT_FILE, quiet_option

_MOST_SHOWN = 200  # rows; a longer table is cut on the terminal


@click.command("scan-phi")
@click.argument("paths", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path))
@click.option("--json", "json_file", type=OUTPUT_FILE, metavar="FILE", help="Write all findings, masked, as JSON.")
@quiet_option
def scan_phi(paths: tuple[Path, ...], json_file: Path | None, quiet: bool) -> None:
    """Find what may identify a patient, before sharing files.

    PATHS are files and folders: text, JSON, CSV, HTML, pictures' metadata, DICOM headers, and zip archives of them.

    Found are record numbers, national ids, e-mail addresses, phone numbers, full dates, names behind a label or a
    title, GPS positions, and DICOM attributes of the basic confidentiality profile. Findings are shown masked. Text
    burned into pixels is not examined, and a name without a label is not found.

    \b
    Example: mevlip scan-phi build/demo examples/inputs
    """
    from mevlip.core.errors import EnvironmentProblem, OutputError
    from mevlip.core.tables import table
    from mevlip.core.text import visible
    from mevlip_validation import output
    from mevlip_validation.phi.scan import scan

    found = scan(paths, quiet=quiet)
    if json_file:
        output.write_json(found.as_json(), json_file)
    if found.findings:
        rows = [
            (one.file, visible(one.place, 60), one.kind, visible(one.finding, 40))
            for one in found.findings[:_MOST_SHOWN]
        ]
        click.echo(table(("file", "place", "kind", "finding (masked)"), rows))
    if found.unexamined:
        click.echo(
            table(("not examined", "reason"), [(one.file, one.reason) for one in found.unexamined[:_MOST_SHOWN]])
        )
    cut = max(len(found.findings), len(found.unexamined)) > _MOST_SHOWN
    rest = f"; the first {_MOST_SHOWN} are shown, --json FILE writes all" if cut else ""
    examined = ", ".join(f"{count} {what}" for what, count in found.examined.items()) or "nothing"
    kinds = ", ".join(f"{kind} {count}" for kind, count in found.kinds.items()) or "none"
    click.echo(f"examined: {examined}; possible identifiers: {kinds}{rest}")
    if {"pictures", "DICOM files"} & found.examined.keys():
        click.echo("Text burned into pixels was not examined: look at the images themselves.")
    left = f"; {len(found.unexamined)} files were not examined" if found.unexamined else ""
    if found.findings:
        raise OutputError(
            f"{len(found.findings)} possible identifiers in {found.files} files{left}",
            "Check each place listed above, and remove what identifies a patient before you share the files.",
        )
    if found.unexamined:
        raise EnvironmentProblem(
            f"No identifier was found, but {len(found.unexamined)} files were not examined",
            "Check the files listed above yourself, or leave them out.",
        )
