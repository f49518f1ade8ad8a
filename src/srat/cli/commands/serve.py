"""The command ``srat serve``."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from srat.cli.naming import make_console
from srat.cli.parsing import parse, run_word
from srat.core.errors import printable
from srat.core.signals import deferring_signals
from srat.core.words import counted
from srat.inference.serving import Limits, Served, make_app, running
from srat.runs.folder import Which
from srat.runs.run import load_with_facts
from srat.runtime.machine import as_device

_LOOK = 0.2
"""Seconds between two looks whether to stop."""


@dataclass(frozen=True, kw_only=True)
class Arguments:
    """Serve a run's model over HTTP, for those who want to try it from elsewhere.

    POST /predict takes image files and answers in JSON, as srat predict does without an attack; / is a page to drop
    images on, /docs the OpenAPI page, /health tells what is served. Needs pip install 'srat[serve]'. There is neither a
    password nor encryption: beyond this machine, put a server in front of it that has them.
    """

    run: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="RUN")] = ""
    """The run's folder, or a file of its weights."""
    host: str = "127.0.0.1"
    """Address to listen at; 0.0.0.0 for all of this machine's."""
    port: int = 8000
    """Port to listen at; 0 for any that is free."""
    limits: Annotated[Limits, tyro.conf.arg(name="")] = Limits()
    weights: Which = "last"
    """The weights of the last epoch, of the best on the held-out part, or (raw) of the last one before averaging."""
    device: str = "auto"
    """auto (CUDA where there is one), cpu, cuda or cuda:N."""


def run(args: list[str]) -> int:
    """Serve until a signal comes; return the exit code."""
    arguments = parse(Arguments, args, command="serve", default=Arguments())
    name, device = run_word(arguments.run, "serve"), as_device(arguments.device)
    model, facts = load_with_facts(Path(name), which=arguments.weights, device=device)
    title = f"{facts.config.method} on {facts.config.data.title}"
    app = make_app(Served(model, facts, title=title, device=device, limits=arguments.limits))
    with deferring_signals() as interruption, running(app, host=arguments.host, port=arguments.port) as served:
        address, thread = served
        told = f"serving {name} ({title}, {counted(len(facts.class_names), 'class', 'classes')}) at {address}"
        console = make_console("serve")
        console.print(printable(f"{told}; Ctrl-C ends it"), highlight=False, markup=False, soft_wrap=True)
        while thread.is_alive() and not interruption.received:
            thread.join(_LOOK)
    return 0
