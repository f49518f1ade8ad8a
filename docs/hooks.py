"""What the site is told by the program itself: the help of each command."""

import re
from typing import Any

from srat.cli.commands import COMMANDS
from srat.cli.commands.completion import helped


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Put every command with its help in the place of ``{{ commands }}``, a help in that of ``{{ help NAME }}``."""
    every = "\n\n".join(f"## srat {name}\n\n{{{{ help {name} }}}}" for name in COMMANDS)
    return re.sub(r"\{\{ help ([\w -]+) \}\}", _help, markdown.replace("{{ commands }}", every))


def _help(place: re.Match[str]) -> str:
    return f"```text\n{helped(*place[1].split(), width=84)}```"
