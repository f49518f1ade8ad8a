"""A plan for a training, for people."""

from collections.abc import Callable

from rich.text import Text

from srat.core.durations import roughly
from srat.core.errors import printable
from srat.core.words import counted
from srat.planning.planning import Plan
from srat.report.terminal.listing import Listing
from srat.report.terminal.scopes import titled_table


def plan_table(plan: Plan, words: Callable[[str], str] = str) -> Listing:
    """Return a table of what a plan chose, and why.

    Args:
        plan: the plan.
        words: makes of a text what is shown of it.
    """
    table = titled_table(f"A plan for {roughly(plan.time)}: {plan.config.data.title}")
    table.add_column("", no_wrap=True)
    table.add_column("chosen", no_wrap=True)
    table.add_column("why", min_width=24)
    for choice in plan.choices:
        table.add_row(choice.what, Text(choice.value, style="bold"), Text(printable(words(choice.reason))))
    return table


def expected(plan: Plan) -> str:
    """Return how long a plan takes, and where that was measured: "about 9 min: 34 epochs of 14 s, …"."""
    costs = plan.costs
    epochs = f"{counted(plan.config.epochs, 'epoch')} of {roughly(costs.epoch)}"
    return (
        f"about {roughly(plan.seconds)}: {epochs}, evaluation {roughly(costs.evaluation)}, "
        f"start {roughly(costs.start)} ({plan.device})"
    )
