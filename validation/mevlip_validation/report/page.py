"""One HTML file from a template: style and script stand in it, and nothing else can run or be loaded."""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path
from typing import Any

from mevlip import __version__
from mevlip.core.extras import needing
from mevlip.core.files import write_text_atomically
from mevlip.core.text import visible

_HERE = Path(__file__).parent
REPORT_PACKAGES = "report", "The report needs"
"""The arguments of `needing` for jinja2 and matplotlib."""


def write_page(path: Path, name: str, *, folder: Path = _HERE, **content: Any) -> int:
    """Writes a page.

    Args:
        path: The HTML file.
        name: Name of template and style, and of a script where there is one, without their suffixes.
        folder: Where they are; what a template includes may also lie beside this module.
        **content: What the template shows; texts are escaped, and so are characters in them that cannot be seen.

    Returns:
        The file's size in bytes.

    Raises:
        EnvironmentProblem: jinja2 is missing, or the file cannot be written.
    """
    with needing(*REPORT_PACKAGES):
        from jinja2 import Environment, FileSystemLoader, StrictUndefined
    environment = Environment(
        loader=FileSystemLoader([folder, _HERE]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_shown,
    )
    script_file = folder / f"{name}.js"
    script = script_file.read_text("utf-8") if script_file.exists() else ""
    text = environment.get_template(f"{name}.html").render(
        version=__version__,
        style=(_HERE / "page.css").read_text("utf-8") + (folder / f"{name}.css").read_text("utf-8"),
        script=script,
        script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        **content,
    )
    write_text_atomically(path, text)
    return path.stat().st_size


def _shown(value: Any) -> Any:
    """What the page shows of a value: foreign text without unseen characters, markup of our own as it is."""
    return visible(value) if type(value) is str else value
