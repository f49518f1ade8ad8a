"""The plugins that a run began with: its environment names them, and to go on with it takes the same again."""

import shlex
from collections.abc import Sequence
from pathlib import Path

from srat.config.command_line import plugin_words
from srat.config.config import Config
from srat.core.errors import UserError
from srat.core.plugins import digests
from srat.runs.folder import RunFolder

OF_MODEL = ("model", "head")
"""Members that no weights can be served without; what else a run had, its training alone needed."""


def plugins_gone(folder: RunFolder) -> list[str]:
    """Return the paths of the plugins that a run began with and that are not loaded now, wherever they lie.

    Raises:
        UserError: if the content of one has changed since.
    """
    now = digests()
    gone = {path: sha256 for path, sha256 in folder.plugins.items() if sha256 not in now.values()}
    for path, sha256 in gone.items():
        for other in now:
            if other == path or Path(other).name == Path(path).name:
                since = f"the plugin '{other}' has changed since the run in '{folder.path}' began"
                which = f"SHA-256 {sha256[:8]}…, now {now[other][:8]}…"
                raise UserError(f"{since} ({which}); put back what it was, or train a new run with it")
    return list(gone)


def require_plugins(folder: RunFolder) -> None:
    """Raise ``UserError`` unless the plugins that a run began with are loaded, with the content of then."""
    if gone := plugins_gone(folder):
        raise UserError(f"the run in '{folder.path}' began with a plugin that is not loaded; {how_to_load(gone)}")


def how_to_load(paths: Sequence[str]) -> str:
    """Return what to type to load plugins."""
    return f"type it again with {shlex.join(plugin_words(paths))}"


def require_model_known(config: Config, folder: RunFolder) -> None:
    """Raise ``UserError`` if the model of a run is of a package or a plugin that is not there.

    Args:
        config: the run's.
        folder: where its weights lie.
    """
    for path, member in config.missing.items():
        if path in OF_MODEL:
            gone = folder.plugins
            raise UserError(f"{member.error}" + (f" (the run began with {', '.join(gone)})" if gone else ""))
