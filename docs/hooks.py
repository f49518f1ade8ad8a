"""What the site is told by the program itself: the help of each command, the families, the source of the step."""

import inspect
import pydoc
import re
from typing import Any

from srat.cli.commands import COMMANDS
from srat.cli.commands.completion import helped
from srat.config.config import FAMILIES
from srat.core.members import choices
from srat.methods import methods, protocols
from srat.planning.rules import RULES
from srat.report.methods import markdown_of, markdown_of_protocol


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Fill in a page's places: every command with its help, the families, methods, protocols, rules, a source."""
    for place, text in PLACES.items():
        if place in markdown:
            markdown = markdown.replace(place, text())
    markdown = re.sub(r"\{\{ source ([\w.]+) \}\}", _source, markdown)
    return re.sub(r"\{\{ help ([\w -]+) \}\}", _help, markdown)


def _commands() -> str:
    return "\n\n".join(f"## srat {name}\n\n{{{{ help {name} }}}}" for name in COMMANDS)


def _help(place: re.Match[str]) -> str:
    return f"```text\n{helped(*place[1].split(), width=84)}```"


def _families() -> str:
    """Return a table of the families: the field of a configuration, what it decides, its members."""
    rows = ["| field | decides | members |", "|---|---|---|"]
    for field, family in FAMILIES.items():
        members = ", ".join(f"`{name}`" for name in choices(family))
        rows.append(f"| `{field}` | {str(inspect.getdoc(family)).splitlines()[0]} | {members} |")
    return "\n".join(rows)


def _plan_rules() -> str:
    """Return a table of the rules of a plan: the setting, the rule, what speaks for it."""
    rows = (f"| {rule.what} | {rule.says} | {rule.evidence} |" for rule in RULES)
    return "\n".join(["| setting | rule | what speaks for it |", "|---|---|---|", *rows])


def _source(place: re.Match[str]) -> str:
    """Return the source of a function without its docstring."""
    source = inspect.getsource(pydoc.locate(place[1]))  # type: ignore[arg-type]
    code = re.sub(r' *""".*?"""\n', "", source, count=1, flags=re.DOTALL)
    return f"```python\n{code}```"


PLACES = {
    "{{ commands }}": _commands,
    "{{ families }}": _families,
    "{{ plan_rules }}": _plan_rules,
    "{{ methods }}": lambda: "\n".join(map(markdown_of, methods())),
    "{{ protocols }}": lambda: "\n".join(map(markdown_of_protocol, protocols())),
}
"""Places in the pages, and the text that each is filled with."""
