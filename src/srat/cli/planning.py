"""What ``srat plan`` does once it knows what it is to do; ``srat data`` makes a quick plan, too."""

import json
import shlex
from functools import partial
from time import monotonic

from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from srat.cli.naming import in_flags, make_console
from srat.cli.options import Options
from srat.config.config import Config
from srat.core.signals import deferring_signals
from srat.planning.planning import Plan, plan
from srat.report.terminal.plan import expected, plan_table
from srat.report.terminal.scopes import print_whole
from srat.runtime.machine import as_device, keep_freed_memory


def made(config: Config, *, time: str, device: str = "auto", measuring: str | None = None) -> Plan:
    """Return a plan; meanwhile a terminal tells what is measured. Arguments as for `srat.plan`."""
    if as_device(device).type == "cpu":
        keep_freed_memory()  # as the training does
    told = make_console("plan", stderr=True)
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    shown = Progress(*columns, console=told, transient=True, disable=not told.is_terminal)
    with deferring_signals() as interruption, shown as progress:
        task = progress.add_task("measuring", total=None)
        tell = partial(progress.update, task)

        def clock() -> float:  # asked before and after each step
            interruption.check()
            return monotonic()

        return plan(
            config,
            time=time,
            device=device,
            measuring=measuring,
            clock=clock,
            told=lambda text: tell(description=f"measuring {text}"),
        )


def show(found: Plan, options: Options, *, as_json: bool) -> None:
    """Print a plan: what it chose and why, how long it takes, the command.

    Args:
        found: the plan.
        options: folder and device, where they are named.
        as_json: whether it is for programs.
    """
    command = command_with(found, options)
    if as_json:
        print(json.dumps(found.to_plain() | {"command": command}, indent=2, ensure_ascii=False))
        return
    console = make_console("plan")
    print_whole(console, plan_table(found, partial(in_flags, command="train")))
    for line in (expected(found), command):
        console.print(line, highlight=False, markup=False, soft_wrap=True)


def command_with(found: Plan, options: Options) -> str:
    """Return a plan's command with the folder and the device that were named."""
    usual = Options()
    named = {"out": options.out, "device": options.device}
    words = [
        word for name, value in named.items() if value != getattr(usual, name) for word in (f"--{name}", str(value))
    ]
    return " ".join(filter(None, (found.command, shlex.join(words))))
