"""The command `mevlip doctor`."""

from __future__ import annotations

from typing import Any

import click

from mevlip.cli.options import settings_options
from mevlip.core import logs
from mevlip.core.errors import EnvironmentProblem
from mevlip.settings import PredictorSettings


@click.command()
@settings_options(PredictorSettings)
def doctor(**options: Any) -> None:
    """Check this machine and a checkpoint.

    Packages, 4-bit kernels, GPU, memory, files, adapters, and one question.

    \b
    Example: mevlip doctor --checkpoint checkpoints/demo
    """
    from mevlip.runs.doctor import examine

    logs.only_warnings()
    findings = []
    for finding in examine(PredictorSettings(**options)):
        findings.append(finding)
        click.echo(f"{finding.status:4}  {finding.subject:14}  {finding.detail}")
    failed = [finding for finding in findings if finding.status == "FAIL"]
    if failed:
        raise EnvironmentProblem(f"{failed[0].subject}: {failed[0].detail}", failed[0].remedy)
