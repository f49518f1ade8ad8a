"""What this machine has left, and what it says when that is nothing."""

import ctypes
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
import torch

from srat.core.errors import UserError, require, require_field
from srat.core.files import size

_CGROUPS = Path("/sys/fs/cgroup")
_OWN_CGROUPS = Path("/proc/self/cgroup")
# Versions 2 and 1 of Linux' control groups: where a group lies, its limit, its use, how much of that can be reclaimed.
_V2 = ("", "memory.max", "memory.current", "inactive_file")
_V1 = ("memory", "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")

# Of glibc's malloc.h: M_MMAP_MAX, nothing straight from the system; M_TRIM_THRESHOLD, nothing back to it; M_TOP_PAD.
_KEEPING = ((-4, 0), (-1, -1), (-2, 1 << 26))


def free_memory() -> int:
    """Return how many bytes of memory are still free, within the limits of the containers around us, if any."""
    free = int(psutil.virtual_memory().available)
    for root, limit, usage, reclaimable in (_V2, _V1):
        for group in _groups(root):
            with suppress(OSError, ValueError, KeyError):  # no such group, or "max": no limit
                numbers = dict(line.split() for line in (group / "memory.stat").read_text().splitlines())
                used = int((group / usage).read_text()) - int(numbers[reclaimable])
                free = min(free, int((group / limit).read_text()) - used)
    return max(free, 0)


def keep_freed_memory() -> bool:
    """Let this process keep what it frees for its next tensors, for good; return whether that works (glibc alone).

    Otherwise large tensors come from the operating system again in every step, page by page, each filled with zeros.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError, TypeError):  # another C library, or another system
        return False
    return all(mallopt(option, value) for option, value in _KEEPING)


def neighbours() -> int:
    """Return how many processes of this job share the machine, this one included."""
    return int(os.environ.get("LOCAL_WORLD_SIZE", "1")) if "RANK" in os.environ else 1


def parse_device(device: str | torch.device) -> tuple[str, str]:
    """Return kind and index of a device; the index is "" if it has none.

    Args:
        device: "auto" (CUDA where there is one), "cpu", "cuda" or "cuda:N"; or torch's own.

    Raises:
        UserError: if it is none of these.
    """
    kind, _, index = str(device).partition(":")
    index = "" if str(device) == "cpu:0" else index
    known = kind == "cuda" or (kind in ("auto", "cpu") and not index)
    known = known and (not index or index.isdecimal())
    require_field(known, "device", "auto, cpu, cuda or cuda:N", str(device))
    return kind, index


def as_device(device: str | torch.device) -> torch.device:
    """Return a device of this machine.

    Args:
        device: as `parse_device` takes it.

    Raises:
        UserError: if it is unknown or not there.
    """
    kind, index = parse_device(device)
    there = torch.cuda.device_count()
    if kind == "auto":
        kind = "cuda" if there else "cpu"
    missing = kind == "cuda" and int(index or 0) >= there
    require(not missing, f"`device` {device}: there is no such CUDA device here (found {there}); try `device` cpu")
    return torch.device(f"{kind}:{index}" if index else kind)


def available(device: torch.device) -> int:
    """Return the bytes that are still free on a device."""
    if device.type != "cuda":
        return free_memory()
    unused = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return int(torch.cuda.mem_get_info(device)[0] + unused)


def _groups(root: str) -> list[Path]:
    # In a container our group is the root of what we see; outside, it is named in /proc, and those above it count too.
    top = _CGROUPS / root
    groups = [top]
    with suppress(OSError):
        for line in _OWN_CGROUPS.read_text().splitlines():
            _, controllers, path = line.split(":", 2)
            if root in controllers.split(","):
                own = top / path.lstrip("/")
                groups += [own, *(parent for parent in own.parents if parent.is_relative_to(top))]
    return groups


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether an exception says that a device, or the machine, has no memory left."""
    words = ("allocate memory", "not enough memory", "out of memory", "ALLOC_FAILED")
    said = isinstance(error, RuntimeError) and any(word in str(error) for word in words)
    return said or isinstance(error, torch.OutOfMemoryError | MemoryError)


@contextmanager
def telling_of_memory(what: str) -> Iterator[None]:
    """Turn running out of memory into a ``UserError`` that says what did not fit."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        raise UserError(f"out of memory: {what}") from error


def require_memory(count: int, what: str, advice: str = "") -> None:
    """Raise ``UserError`` unless ``count`` bytes fit into half of the free memory; the other half is for the work.

    Args:
        count: bytes.
        what: what needs them.
        advice: what may help.
    """
    there = free_memory()
    require(count <= there // 2, f"{what}: needs {size(count)} of memory, there are {size(there)}{advice}")
