"""Which devices a run goes to, and what they are."""

import inspect
import logging
import platform
from typing import Any

import torch
from lightning_fabric import Fabric
from lightning_fabric.plugins.environments.torchelastic import TorchElasticEnvironment
from lightning_fabric.plugins.precision.amp import MixedPrecision
from lightning_fabric.plugins.precision.precision import Precision
from lightning_fabric.strategies.ddp import DDPStrategy
from lightning_fabric.strategies.single_device import SingleDeviceStrategy
from torch.amp.grad_scaler import GradScaler
from torch.nn.parallel import DistributedDataParallel
from typing_extensions import override

from srat.core.errors import require
from srat.runtime.machine import neighbours, parse_device
from srat.runtime.precision import PrecisionName
from srat.runtime.processes import world_size
from srat.version import version


def make_fabric(device: str | torch.device, precision: PrecisionName = "fp32") -> Fabric:
    """Return Lightning Fabric on one device, or on this process's among those of a job that torchrun has started.

    Args:
        device: "auto" (CUDA where there is one), "cpu", "cuda" or "cuda:N"; or torch's own.
        precision: what the training step computes in.

    Raises:
        UserError: if the device is unknown or not there.
    """
    kind, index = parse_device(device)
    world, here = world_size(), neighbours()
    require(world == 1 or not index, f"`device` {device}: several processes take a device each; say `device` cuda")
    available = torch.cuda.device_count()
    wanted = int(index or 0) + 1 if world == 1 else here
    # "auto" is no leave to train on the CPU beside GPUs that are too few, or with processes that disagree.
    missing = available < wanted and (kind == "cuda" or (kind == "auto" and available > 0))
    there = f"found {available}" if world == 1 else f"found {available} for {here} processes"
    require(not missing, f"`device` {device}: there is no such CUDA device here ({there}); try `device` cpu")
    accelerator = "cuda" if kind == "cuda" or (kind == "auto" and available >= wanted) else "cpu"
    if world == 1:
        return make_fabric_alone(torch.device(accelerator, int(index or 0)), precision)
    logging.getLogger("lightning_fabric").setLevel(logging.WARNING)
    # Statistics of BatchNorm are averaged after each step instead of being overwritten by those of the first process.
    parameters = inspect.signature(DistributedDataParallel.__init__).parameters
    name = "forward_sync_buffers" if "forward_sync_buffers" in parameters else "broadcast_buffers"  # as it was called
    keeping: Any = {name: False}
    strategy = DDPStrategy(cluster_environment=TorchElasticEnvironment(), **keeping)
    plugin = make_precision(precision, accelerator)
    fabric = Fabric(accelerator=accelerator, devices=here, num_nodes=world // here, strategy=strategy, plugins=[plugin])
    fabric.launch()
    return fabric


def make_fabric_alone(device: torch.device, precision: PrecisionName) -> Fabric:
    """Return Lightning Fabric on one device, whatever job this process belongs to."""
    devices = [device.index or 0] if device.type == "cuda" else 1
    strategy = SingleDeviceStrategy(device if device.type == "cuda" else "cpu")
    return Fabric(
        accelerator=device.type, devices=devices, strategy=strategy, plugins=[make_precision(precision, device.type)]
    )


class Mixed(MixedPrecision):
    """Mixed precision in which the model meets the images themselves, not rounded ones."""

    @override
    def convert_input(self, data: Any) -> Any:
        return data


def make_precision(name: PrecisionName, device: str) -> Precision:
    """Return what Fabric computes with.

    Args:
        name: the precision.
        device: "cpu" or "cuda".
    """
    if name == "bf16":
        return Mixed("bf16-mixed", device)
    return Mixed("16-mixed", device, GradScaler(device, init_scale=2.0**10)) if name == "fp16" else Precision()


def describe(device: torch.device, processes: int = 1, *, compiled: bool = False) -> dict[str, Any]:
    """Return what a run's figures depend on beside its configuration: device, processes, compiler and versions."""
    cpu = f"cpu, {torch.get_num_threads()} threads"
    return {
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else cpu,
        "processes": processes,
        "compiled": compiled,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "srat": version(),
    }
