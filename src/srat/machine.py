"""What this machine has left."""

from contextlib import suppress
from pathlib import Path

import psutil

from srat.errors import require
from srat.files import size

_CGROUP = Path("/sys/fs/cgroup")


def free_memory() -> int:
    """Return how many bytes of memory can still be had, within the limit of the container if there is one."""
    free = int(psutil.virtual_memory().available)
    with suppress(OSError, ValueError):  # no cgroup, or "max": no limit
        limit, used = (int((_CGROUP / name).read_text()) for name in ("memory.max", "memory.current"))
        free = min(free, limit - used)
    return free


def require_memory(count: int, what: str, advice: str = "") -> None:
    """Raise ``UserError`` unless ``count`` bytes fit into half of the free memory; the other half is for the work.

    Args:
        count: bytes.
        what: what needs them.
        advice: what may help.
    """
    there = free_memory()
    require(count <= there // 2, f"{what}: needs {size(count)} of memory, there are {size(there)}{advice}")
