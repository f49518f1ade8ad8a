"""What the measurements share: a training step in several variants, and times taken in turns."""

import argparse
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from srat.config.composition import compose
from srat.config.config import SGD, Config
from srat.core.keyed_random import generator
from srat.data import Batch, Dataset
from srat.models import logits_at
from srat.runtime.compiling import CompileChoice
from srat.runtime.fabric import make_fabric
from srat.runtime.machine import keep_freed_memory
from srat.runtime.precision import PrecisionName, tensor_float
from srat.runtime.processes import ALONE, Processes
from srat.training.session import Training
from srat.training.setting_up import folding_for, set_up
from srat.training.step import train_step

Function = Callable[[], object]


@dataclass(frozen=True)
class Variant:
    """How a training step is computed."""

    precision: PrecisionName
    compiled: CompileChoice = "off"
    folding: bool = True
    channels_last: bool = True


VARIANTS = {
    "fp32-plain": Variant("fp32", folding=False, channels_last=False),
    "fp32-unfolded": Variant("fp32", folding=False),
    "fp32-channels-first": Variant("fp32", channels_last=False),
    "fp32": Variant("fp32"),
    "fp32-compiled": Variant("fp32", "default"),
    "bf16": Variant("bf16"),
    "bf16-compiled": Variant("bf16", "default"),
}
ON_CUDA = {
    "tf32": Variant("tf32"),
    "tf32-compiled": Variant("tf32", "default"),
    "fp16": Variant("fp16"),
    "bf16-reduce-overhead": Variant("bf16", "reduce-overhead"),
}


class Plain(nn.Module):
    """A model that returns logits alone."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, images: Tensor) -> Tensor:
        """Return them, of their own, for Square writes into what it is given."""
        return logits_at(self.model, images).clone()


class Spread(NamedTuple):
    """The median of some measurements, the lowest and the highest."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: list[float]) -> "Spread":
        """Return the spread of some values."""
        return cls(statistics.median(values), min(values), max(values))


@dataclass(frozen=True, kw_only=True)
class Work:
    """A training step's configuration, data and device."""

    config: Config
    data: Dataset
    device: str
    processes: Processes = ALONE

    def training(self, variant: Variant) -> Training:
        """Return model, optimiser and data, in train mode."""
        fabric = make_fabric(self.device, variant.precision)
        config = replace(self.config, precision=variant.precision)
        training = set_up(config, fabric, self.data, None, None, processes=self.processes, compiled=variant.compiled)
        if training.compiled != (variant.compiled != "off"):
            raise SystemExit(f"{variant}: not compiled")
        # The variants share one cache; beyond its limit a model would run uncompiled, as only a log would tell.
        torch._dynamo.config.recompile_limit = 64
        if not variant.channels_last:
            training.module.to(memory_format=torch.contiguous_format)
            training = replace(training, folding=folding_for(config, training.module, training.train))
        training.model.train()
        return training if variant.folding else replace(training, folding=None)


def random_images(count: int, classes: int = 10) -> Dataset:
    """Return random images of CIFAR's shape, as many of each class."""
    images = torch.randint(256, (count, 3, 32, 32), dtype=torch.uint8, generator=generator(0, "images"))
    return Dataset(images, torch.arange(count) % classes, tuple(map(str, range(classes))))


def step_config(method: str, model: str, width: int | None, batch: int) -> Config:
    """Return the configuration of a step on CIFAR's shape; its learning rate is small, for labels are random."""
    config = compose(method=method, data="cifar10", model=model, batch_size=batch)
    if width is not None:
        config = replace(config, model=replace(config.model, width=width))
    return replace(config, optimizer=SGD(learning_rate=1e-3))


def one_batch(training: Training) -> Batch:
    """Return the first images of the data, as many as a batch holds."""
    device = training.fabric.device
    indices = torch.arange(min(training.config.batch_size, len(training.train)), device=device)
    return training.feed.batch(indices, training.feed.augmenting(0, 0))


def stepper(training: Training, batch: Batch) -> Function:
    """Return a function that does the next training step on a batch each time it is called."""
    taken = 0

    def step() -> None:
        nonlocal taken
        rng = partial(generator, 0, step=taken, rank=training.processes.rank, device=training.fabric.device)
        with tensor_float(training.config.precision == "tf32"):
            train_step(training, batch, training.stage(training.config.epochs - 1), rng)
        taken += 1

    return step


def interleaved(
    functions: Mapping[str, Function], *, rounds: int, device: str, repeats: int = 1, warm_up: int = 3
) -> dict[str, list[float]]:
    """Return the seconds that a call of each function takes, one figure for each round; the functions take turns."""
    for function in functions.values():
        seconds(function, device, warm_up)
    taken: dict[str, list[float]] = {name: [] for name in functions}
    for _ in range(rounds):
        for name, function in functions.items():
            taken[name].append(seconds(function, device, repeats) / repeats)
    return taken


def seconds(function: Function, device: str, repeats: int = 1) -> float:
    """Return how long some calls of a function take, until the device is done with them."""
    synchronize(device)
    start = time.perf_counter()
    for _ in range(repeats):
        function()
    synchronize(device)
    return time.perf_counter() - start


def synchronize(device: str) -> None:
    """Wait until the device has done what it was told."""
    if device.startswith("cuda"):
        torch.cuda.synchronize(device)


def parser(description: str | None) -> argparse.ArgumentParser:
    """Return a parser of the options that all measurements have."""
    made = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--device", default="cpu", help="cpu or cuda")
    made.add_argument("--threads", type=int, help="of the CPU; all by default")
    made.add_argument("--rounds", type=int, default=7, help="measurements of each")
    return made


def step_parser(description: str | None) -> argparse.ArgumentParser:
    """Return a parser of the options that measurements of a training step have."""
    made = parser(description)
    made.add_argument("--batch", type=int, default=128, help="images in a step")
    made.add_argument("--model", default="resnet18", choices=("resnet18", "small-cnn"))
    made.add_argument("--width", type=int, help="channels of the first stage; the model's own by default")
    made.add_argument("--method", default="ce")
    made.add_argument("--repeats", type=int, default=1, help="steps in a measurement")
    made.add_argument("--keep-memory", action="store_true", help="as srat's commands do on a CPU; also for the others")
    return made


def work_of(options: argparse.Namespace) -> Work:
    """Return the training step that the options ask for, having set the threads."""
    set_threads(options)
    config = step_config(options.method, options.model, options.width, options.batch)
    return Work(config=config, data=random_images(options.batch), device=options.device)


def set_threads(options: argparse.Namespace) -> None:
    """Set the number of threads, and what becomes of freed memory, if that was asked for."""
    if options.threads is not None:
        torch.set_num_threads(options.threads)
    if getattr(options, "keep_memory", False):
        keep_freed_memory()


def variants_on(device: str) -> dict[str, Variant]:
    """Return the variants that a device can compute."""
    return VARIANTS | ON_CUDA if device.startswith("cuda") else VARIANTS


def environment(device: str) -> dict[str, Any]:
    """Return what the figures depend on."""
    on_cuda = device.startswith("cuda")
    return {
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
        "device": torch.cuda.get_device_name(device) if on_cuda else "cpu",
    }


def heading(device: str, **more: object) -> str:
    """Return a line that says what was measured, and on what."""
    return ", ".join(f"{name} {value}" for name, value in (environment(device) | more).items())


def table(rows: list[tuple[str, ...]]) -> str:
    """Return rows in aligned columns: the first to the left, the others to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])] for row in rows)
    return "\n".join("  ".join(cells).rstrip() for cells in lines)
