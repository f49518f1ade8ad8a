"""The command ``srat methods``."""

from dataclasses import dataclass
from functools import partial
from typing import Annotated

import tyro

from srat.cli.naming import in_flags, make_console
from srat.cli.parsing import MOST_COLUMNS, parse
from srat.core.errors import unknown
from srat.core.members import plain
from srat.methods import methods, protocols
from srat.report.terminal.methods import method_page, methods_table, protocol_page, protocols_table
from srat.report.terminal.scopes import print_whole


@dataclass(frozen=True, kw_only=True)
class Arguments:
    """List all methods and protocols: members, cost in passes, state; or tell all of one of them."""

    name: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="NAME")] = ""
    """A method, or a protocol: formula, constants, cost, source, where paper and code part; all in short without it."""


def run(args: list[str]) -> int:
    """Print the tables, or all of one method; return the exit code."""
    arguments = parse(Arguments, args, command="methods", default=Arguments())
    console, name = make_console("train"), plain(arguments.name)
    if not name:
        print_whole(console, methods_table())
        print_whole(console, protocols_table())
        console.print("srat methods NAME tells all of one; srat train --method NAME [--protocol NAME] trains with it")
        return 0
    if name not in methods() and name not in protocols():
        raise unknown("method or protocol", arguments.name, dict.fromkeys((*methods(), *protocols())))
    words = partial(in_flags, command="train")
    pages = [method_page(name, words)] if name in methods() else []
    pages += [protocol_page(name, words)] if name in protocols() else []
    for place, page in enumerate(pages):
        console.print(*["\n"] * (place > 0), page, sep="", width=min(console.width, MOST_COLUMNS))
    return 0
