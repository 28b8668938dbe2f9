"""Limits that a process sets on itself, before it does what could take all of a machine."""

from __future__ import annotations

import os
import resource
from pathlib import Path


def limit(what: int, wanted: int) -> None:
    """Lowers a limit of this process, such as `resource.RLIMIT_CPU`, for good; one that is lower already stays."""
    _, hard = resource.getrlimit(what)
    value = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    resource.setrlimit(what, (value, value))


def limit_memory(more: int) -> None:
    """Lets this process have only so many bytes of address space on top of what it has."""
    pages = int(Path("/proc/self/statm").read_bytes().split()[0])
    limit(resource.RLIMIT_AS, pages * os.sysconf("SC_PAGE_SIZE") + more)
