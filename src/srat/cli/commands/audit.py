"""The command ``srat audit``."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from srat.cli.naming import make_console
from srat.cli.parsing import parse, run_word
from srat.core.errors import printable
from srat.core.signals import deferring_signals
from srat.report.terminal.live import LiveObserver
from srat.runs.folder import Which
from srat.runs.opening import opened
from srat.runtime.machine import as_device, keep_freed_memory

FAILED = 3
"""Exit code of an audit that has failed."""


@dataclass(frozen=True, kw_only=True)
class Arguments:
    """Check whether the robustness of a run's model is real; the findings are kept in its audit.json.

    Each check says pass, warn or fail, with its evidence. The exit code is 3 if one fails. --check keeps nothing.
    """

    run: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="RUN")] = ""
    """The run's folder."""
    check: tyro.conf.UseAppendAction[tuple[str, ...]] = ()
    """A check by name; may be given several times; by default all."""
    weights: Which = "last"
    """The weights of the last epoch, of the best on the held-out part, or (raw) of the last one before averaging."""
    images: int = 500
    """Number of test images to attack, equally many of each class."""
    source: Path | None = None
    """A naturally trained run to transfer adversarial images from; by default a small network is trained for that."""
    data_dir: Path | None = None
    """Where the data's files are; as in training unless given."""
    seed: int | None = None
    """Seed of all randomness; the run's unless given."""
    device: str = "auto"
    """auto (CUDA where there is one), cpu, cuda or cuda:N."""


def run(args: list[str]) -> int:
    """Audit, print each finding and what follows; return the exit code."""
    arguments = parse(Arguments, args, command="audit", default=Arguments())
    folder, config = opened(run_word(arguments.run, "audit"))
    from srat.audit.auditing import audit_run  # which brings Fabric
    from srat.audit.suite import chosen_checks
    from srat.report.terminal.audit import audit_line, conclusion

    console = make_console("audit")
    width = max(len(check.name) for check in chosen_checks(arguments.check))
    if as_device(arguments.device).type == "cpu":
        keep_freed_memory()
    with deferring_signals() as interruption, LiveObserver(console, interruption.check, lines=False) as observer:
        found = audit_run(
            folder.path,
            checks=arguments.check,
            which=arguments.weights,
            images=arguments.images,
            source=arguments.source,
            data_dir=arguments.data_dir,
            seed=arguments.seed,
            device=arguments.device,
            observer=observer,
            begun=lambda it: console.print(f"{it.n:,} test images, {config.evaluation.label}", highlight=False),
            told=lambda entry: console.print(audit_line(entry, width=width), soft_wrap=True),
        )
    console.print(conclusion(found), highlight=False, soft_wrap=True)
    if arguments.check:
        console.print("Not kept: only an audit with all checks is kept", highlight=False)
    else:
        where = printable(str(folder.audit(arguments.weights)))
        console.print(f"Kept in {where}", highlight=False, markup=False, soft_wrap=True)
    return FAILED if found.verdict == "fail" else 0
