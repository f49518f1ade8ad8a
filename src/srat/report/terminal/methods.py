"""Methods and protocols, for people."""

from collections.abc import Callable, Sequence

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from srat.methods import methods, protocols
from srat.report.methods import facts, facts_of_protocol, method_named, table_rows
from srat.report.terminal.listing import Listing
from srat.report.terminal.scopes import titled_table


def methods_table() -> Listing:
    """Return a table of all methods: name, members, source, cost, what is kept."""
    table = titled_table(f"{len(methods())} methods")
    table.add_column("method", no_wrap=True)
    table.add_column("members", min_width=18)
    table.add_column("source", no_wrap=True)
    table.add_column("passes", justify="right", no_wrap=True)
    table.add_column("keeps besides", min_width=12)
    for row in table_rows():
        table.add_row(*row)
    table.caption = "passes: through the network in a step, beside those of PGD-10 (23)"
    return table


def protocols_table() -> Listing:
    """Return a table of all protocols."""
    table = titled_table(f"{len(protocols())} protocols")
    for name in ("protocol", "network"):
        table.add_column(name, no_wrap=True)
    table.add_column("data", min_width=20)
    for name in ("epochs", "attack"):
        table.add_column(name, justify="right", no_wrap=True)
    for name, protocol in protocols().items():
        data = ", ".join(f"{each} {getattr(i, 'ratio', 0):g}" for each, i in protocol.imbalances.items())
        table.add_row(name, protocol.model.name, data, str(protocol.epochs), f"pgd-{protocol.steps}")
    return table


def method_page(name: str, words: Callable[[str], str] = str) -> RenderableType:
    """Return what is to be known of a method.

    Args:
        name: the method's.
        words: makes of a text what is shown of it.
    """
    method = method_named(name)
    return _page(name, method.title, facts(name), ("paper, code, and here", method.differs), words)


def protocol_page(name: str, words: Callable[[str], str] = str) -> RenderableType:
    """Return what is to be known of a protocol.

    Args:
        name: the protocol's.
        words: makes of a text what is shown of it.
    """
    protocol = protocols()[name]
    return _page(
        f"protocol {name}",
        protocol.title,
        facts_of_protocol(protocol),
        ("with them, and here", protocol.differs),
        words,
    )


def _page(
    name: str,
    title: str,
    rows: Sequence[tuple[str, str]],
    notes: tuple[str, Sequence[str]],
    words: Callable[[str], str],
) -> RenderableType:
    heading, differs = notes
    table = _grid(*((Text(label, style="bold"), Text(words(text))) for label, text in rows))
    listed = _grid(*((Text(" ·"), Text(words(each))) for each in differs))
    below: list[RenderableType] = [Text(), Text(heading, style="bold"), listed] if differs else []
    return Group(Text.assemble((name, "bold"), f": {title}"), Text(), table, *below)


def _grid(*rows: tuple[Text, Text]) -> Table:
    table = Table.grid(padding=(0, 2))
    table.add_column(no_wrap=True)
    table.add_column()
    for row in rows:
        table.add_row(*row)
    return table
