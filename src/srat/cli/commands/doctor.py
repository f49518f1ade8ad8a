"""The command ``srat doctor``."""

import importlib.metadata
import os
import platform
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from rich.text import Text

from srat.cli.naming import make_console
from srat.cli.parsing import parse
from srat.core.errors import printable
from srat.core.files import size
from srat.core.members import members
from srat.data import Source
from srat.data.dataset import FileSource
from srat.data.reading.downloads import search_folders
from srat.report.terminal.scopes import print_whole, titled_table
from srat.runtime.cores import cores
from srat.runtime.machine import free_memory
from srat.version import version

OPTIONAL = {
    "matplotlib": ("plots", "plot"),
    "pillow_heif": ("HEIC images", "heic"),
    "onnxruntime": ("srat export --to onnx", "onnx"),
    "onnxscript": ("srat export --to onnx", "onnx"),
    "ray": ("srat grid --executor ray", "ray"),
    "fastapi": ("srat serve", "serve"),
    "uvicorn": ("srat serve", "serve"),
    "tensorboard": ("srat train --logger tensorboard", "tensorboard"),
}
"""Packages that something needs: what that is, and the extra that brings them."""
LITTLE_DISK = 5 << 30


@dataclass(frozen=True, kw_only=True)
class Arguments:
    """Check what srat runs on (versions, devices, compiler, data), and suggest improvements."""


@dataclass(frozen=True, kw_only=True)
class Line:
    """Something that was looked at."""

    what: str
    found: str
    advice: str = ""


def run(args: list[str]) -> int:
    """Look and say; return the exit code."""
    parse(Arguments, args, command="doctor", default=Arguments())
    lines = [*versions(), *devices(), compiler(), *data(), disk(Path.cwd())]
    table = titled_table("What srat runs on")
    table.add_column("", no_wrap=True)
    table.add_column("", no_wrap=True)
    for line in lines:
        table.add_row(line.what, Text(printable(line.found), style="yellow" if line.advice else ""))
    table.show_header = False
    console = make_console("doctor")
    print_whole(console, table)
    for line in lines:
        if line.advice:
            console.print(f"{line.what}: {printable(line.advice)}", highlight=False, markup=False, soft_wrap=True)
    if not any(line.advice for line in lines):
        console.print("Nothing to improve.")
    return 0


def versions() -> Iterator[Line]:
    """Yield the versions of what is installed, and of what could be."""
    yield Line(what="srat", found=version())
    yield Line(what="Python", found=f"{platform.python_version()}, {sys.executable}")
    yield Line(
        what="torch", found=f"{torch.__version__}, {'CUDA ' + torch.version.cuda if torch.version.cuda else 'CPU'}"
    )
    for name, (purpose, extra) in OPTIONAL.items():
        try:
            yield Line(what=name, found=importlib.metadata.version(name))
        except importlib.metadata.PackageNotFoundError:
            yield Line(what=name, found="not installed", advice=f"for {purpose}: pip install 'srat[{extra}]'")


def devices() -> Iterator[Line]:
    """Yield the CPU, the memory, and each GPU."""
    threads = torch.get_num_threads()
    few = "OMP_NUM_THREADS leaves cores unused" if "OMP_NUM_THREADS" in os.environ and threads < cores() else ""
    yield Line(what="CPU", found=f"{cores()} cores, {threads} threads", advice=few)
    yield Line(what="memory", found=f"{size(free_memory())} free")
    for index in range(torch.cuda.device_count()):
        facts = torch.cuda.get_device_properties(index)
        yield Line(what=f"cuda:{index}", found=f"{facts.name}, {size(facts.total_memory)}")
    if not torch.cuda.is_available():
        built = torch.version.cuda is not None
        why = "torch finds none: is the driver there?" if built else "this torch is built for the CPU"
        advice = "ResNet-18 on CIFAR-10 takes days on a CPU; --model small-cnn and srat grid --scale small take minutes"
        yield Line(what="GPU", found=f"none ({why})", advice=advice)


def compiler() -> Line:
    """Return the compiler that torch.compile would use on a CPU."""
    names = (os.environ["CXX"],) if os.environ.get("CXX") else ("g++", "clang++", "cl")
    path = next((path for name in names if (path := shutil.which(name))), None)
    if path is None:
        advice = "for --compile on a CPU install g++ or clang; without one srat runs uncompiled"
        return Line(what="C++ compiler", found="none", advice=advice)
    return Line(what="C++ compiler", found=path)


def data() -> Iterator[Line]:
    """Yield where the published data sets lie."""
    for name, kind in members(Source).items():
        if issubclass(kind, FileSource):
            path = kind().find()
            missing = f"not here{'; downloaded on first use' if kind.fetched else ''}"
            yield Line(what=name, found=f"{path.parent}" if path is not None else missing)
    folders = ", ".join(map(str, search_folders(None)))
    yield Line(what="looked in", found=f"{folders} (SRAT_DATA_DIR, the cache)")


def disk(folder: Path) -> Line:
    """Return how much room there is for runs."""
    free = shutil.disk_usage(folder).free
    advice = "runs keep two checkpoints each; name a folder on a larger disk with --out" if free < LITTLE_DISK else ""
    return Line(what="disk", found=f"{size(free)} free in {folder}", advice=advice)
