"""Which device a run goes to, and what it is."""

import platform
from typing import Any

import torch
from lightning_fabric import Fabric

from srat.errors import require


def make_fabric(device: str) -> Fabric:
    """Return Lightning Fabric on one device.

    Args:
        device: "auto" (CUDA where there is one), "cpu", "cuda" or "cuda:N".

    Raises:
        UserError: if the device is unknown or not there.
    """
    kind, _, index = device.partition(":")
    known = kind == "cuda" or (kind in ("auto", "cpu") and not index)
    require(
        known and (not index or index.isdecimal()),
        f"--device: expected auto, cpu, cuda or cuda:N, got '{device}'",
    )
    available = torch.cuda.device_count()
    missing = kind == "cuda" and available <= int(index or 0)
    require(not missing, f"--device {device}: there is no such CUDA device here (found {available}); try --device cpu")
    on_cuda = kind == "cuda" or (kind == "auto" and available > 0)
    return Fabric(accelerator="cuda" if on_cuda else "cpu", devices=[int(index or 0)] if on_cuda else 1)


def describe(device: torch.device) -> dict[str, Any]:
    """Return what a run's figures depend on beside its configuration: device and versions."""
    import srat

    cpu = f"cpu, {torch.get_num_threads()} threads"
    return {
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else cpu,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "srat": srat.__version__,
    }
