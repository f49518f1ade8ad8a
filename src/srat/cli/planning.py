"""What ``srat plan`` does once it knows what it is to do; ``srat data`` makes a quick plan, too."""

import json
from functools import partial

from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from srat.cli.naming import in_flags, make_console
from srat.cli.options import Options
from srat.cli.training import train
from srat.config.composition import absolute
from srat.config.config import Config
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
    with Progress(*columns, console=told, transient=True, disable=not told.is_terminal) as progress:
        task = progress.add_task("measuring", total=None)
        tell = partial(progress.update, task)
        return plan(
            config,
            time=time,
            device=device,
            measuring=measuring,
            told=lambda text: tell(description=f"measuring {text}"),
        )


def show(found: Plan, *, device: str, as_json: bool) -> None:
    """Print a plan: what it chose and why, how long it takes, the command."""
    command = command_with(found, device)
    if as_json:
        print(json.dumps(found.to_plain() | {"command": command}, indent=2, ensure_ascii=False))
        return
    console = make_console("plan")
    print_whole(console, plan_table(found, partial(in_flags, command="train")))
    for line in (expected(found), command):
        console.print(line, highlight=False, markup=False, soft_wrap=True)


def command_with(found: Plan, device: str) -> str:
    """Return a plan's command, on the device that it was measured on if that was named."""
    return found.command + (f" --device {device}" if device != "auto" else "")


def start(found: Plan, device: str) -> None:
    """Train and evaluate a plan."""
    train(Options(device=device), absolute(found.config))
