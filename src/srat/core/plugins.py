"""Members in files of one's own: what the user names is loaded here, and by every process that is started from here."""

import hashlib
import importlib.util
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from srat.core.errors import UserError
from srat.core.files import read_bounded

FILES = "SRAT_PLUGINS"
"""Environment variable with the files, ``os.pathsep`` between them."""
LARGEST_FILE = 1 << 20
"""Bytes of a file of code that are read at the most."""


@dataclass(frozen=True, kw_only=True)
class Plugin:
    """A file that has been loaded."""

    path: Path
    sha256: str
    """Of its content, in hexadecimal."""
    module: ModuleType


_LOADED: dict[Path, Plugin] = {}


def plugins() -> list[Plugin]:
    """Return the plugins of this process, those that the environment names among them, in the order of loading.

    Raises:
        UserError: if one cannot be loaded.
    """
    for name in filter(None, os.environ.get(FILES, "").split(os.pathsep)):
        if Path(name) not in _LOADED:
            load_plugin(Path(name))
    return list(_LOADED.values())


def load_plugin(path: Path) -> Plugin:
    """Run a file of the user's, so that its members are known in this process and in those that it starts.

    A file that has changed since it was loaded is run again; the members that it defines take the place of the old.

    Raises:
        UserError: if it cannot be read or run.
    """
    there = path.absolute()
    content = read_bounded(there, LARGEST_FILE)
    sha256 = hashlib.sha256(content).hexdigest()
    if there not in _LOADED or _LOADED[there].sha256 != sha256:
        _LOADED[there] = Plugin(path=there, sha256=sha256, module=run_file(there, content))
    named = os.environ.get(FILES, "").split(os.pathsep)
    os.environ[FILES] = os.pathsep.join(dict.fromkeys([*filter(None, named), str(there)]))
    return _LOADED[there]


def run_file(path: Path, content: bytes) -> ModuleType:
    """Return the module that a file of Python defines.

    Args:
        path: the file; its absolute path gives the module its name.
        content: what it holds.

    Raises:
        UserError: if it cannot be run.
    """
    name = f"srat_plugin_{path.stem}_{hashlib.sha256(str(path).encode()).hexdigest()[:8]}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None:
        raise UserError(f"{path}: expected a file of Python (.py)")
    module, before = importlib.util.module_from_spec(spec), sys.modules.get(name)
    sys.modules[name] = module  # where dataclasses look for it
    try:
        exec(compile(content, str(path), "exec"), module.__dict__)  # noqa: S102 - the user named the file
    except (Exception, SystemExit) as error:
        del sys.modules[name]
        if before is not None:
            sys.modules[name] = before
        raise UserError(f"{path}{_line_of(error, path)}: cannot be run ({type(error).__name__}: {error})") from error
    return module


def _line_of(error: BaseException, path: Path) -> str:
    """Return where in a file an error came from, ", line 3"; nothing where that is not known."""
    lines = [error.lineno] if isinstance(error, SyntaxError) and error.filename == str(path) else []
    place = error.__traceback__
    while place is not None:
        if place.tb_frame.f_code.co_filename == str(path):
            lines.append(place.tb_lineno)
        place = place.tb_next
    return f", line {lines[-1]}" if lines else ""


def digests() -> Mapping[str, str]:
    """Return the SHA-256 of each plugin of this process, by its path."""
    return {str(plugin.path): plugin.sha256 for plugin in plugins()}
