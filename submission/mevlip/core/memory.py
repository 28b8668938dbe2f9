"""Main memory: how much a process may still take, and how much this one has taken."""

from __future__ import annotations

import resource
import sys
from pathlib import Path

_CGROUP = Path("/sys/fs/cgroup")
# Version 2 of control groups, and version 1: limit, use, and the line of its statistics with what can be dropped.
_LIMITS = (
    ("memory.max", "memory.current", "memory.stat", "inactive_file"),
    ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes", "memory/memory.stat", "total_inactive_file"),
)


def available(cgroup: Path = _CGROUP) -> int:
    """Bytes of main memory that can be taken before the kernel ends a process: the machine's, or a container's if less.

    Args:
        cgroup: Where the process's control group is mounted.
    """
    import psutil

    free = int(psutil.virtual_memory().available)
    for limit, usage, statistics, droppable in _LIMITS:
        try:
            most, used = (int((cgroup / name).read_text()) for name in (limit, usage))
            lines = (cgroup / statistics).read_text().splitlines()
        except (OSError, ValueError):  # no such version, or "max": no limit
            continue
        cached = next((int(line.split()[1]) for line in lines if line.split()[:1] == [droppable]), 0)
        free = min(free, most - used + cached)
    return max(free, 0)


def peak() -> int:
    """Bytes of main memory that this process held at its peak, pages of mapped files included."""
    kilobyte = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * kilobyte


def held() -> int:
    """Bytes of main memory that this process holds now, pages of mapped files left out: the kernel may drop these."""
    import psutil

    info = psutil.Process().memory_info()
    return int(info.rss - getattr(info, "shared", 0))
