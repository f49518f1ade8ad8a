"""The command line: which command is asked for, and how its errors are told. Nothing heavy is imported here."""

import io
import os
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path

from srat.cli.commands import COMMANDS, run_command
from srat.cli.launching import SEVERAL, launch, processes_to_launch
from srat.core.errors import LOST_PEER, LostPeerError, UserError, printable, unknown
from srat.core.signals import Interrupted, deferring_signals, follow_leader

HELP = ("-h", "--help", "help")
PLUGIN = "--plugin"
USAGE = """usage: srat COMMAND [OPTIONS]

Adversarial training on imbalanced data.

commands:
{commands}

  srat COMMAND --help    the command's options
  srat --version         the version
  --plugin FILE          with any command: load losses, attacks, … from this file; may be given several times
  --debug                with any command: show tracebacks
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code: 0, 2 for the user's mistakes, 1 for ours, 128 + n for signal n.

    An audit that fails returns 3.
    """
    given = list(sys.argv[1:] if argv is None else argv)
    debug, args = "--debug" in given, [arg for arg in given if arg != "--debug"]
    try:
        args, named = without_plugins(args)
        with deferring_signals() as interruption:
            load_plugins(named)
            code = dispatch(args, debug)
            sys.stdout.flush()
            if code == 0:
                interruption.check()
        return code
    except LostPeerError as error:
        return fail(shown(error, args), LOST_PEER, debug)
    except UserError as error:
        return fail(shown(error, args), 2, debug)
    except BrokenPipeError:
        # The reader of our output left (as `| head` does); what is still buffered has nowhere to go.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except OSError as error:
        where = f" ({error.filename})" if error.filename else ""
        return fail(f"{error.strerror or error}{where}; files written before are intact", 2, debug)
    except Interrupted as stop:
        return fail(shown(stop, args), stop.exit_code, debug, kind="")
    except KeyboardInterrupt:
        return fail("stopped at once", 130, debug, kind="")
    except Exception as error:
        return fail(f"unexpected {type(error).__name__}: {error} (this is a bug; --debug shows where)", 1, debug)


def without_plugins(args: Sequence[str]) -> tuple[list[str], list[str]]:
    """Return the words without ``--plugin FILE``, which goes with any command, and the files.

    Raises:
        UserError: if a file is missing.
    """
    others: list[str] = []
    files: list[str] = []
    words = iter(args)
    for word in words:
        flag, equals, value = word.partition("=")
        if flag != PLUGIN:
            others.append(word)
            continue
        file = value if equals else next(words, "")
        if not file or file.startswith("-"):
            raise UserError(f"{PLUGIN}: expected a file of Python, got {repr(file) if file else 'none'}")
        files.append(os.path.expanduser(file))  # noqa: PTH111 - as for other words
    return others, files


def load_plugins(files: Sequence[str]) -> None:
    """Load files of the user's own, before a command reads the names of members."""
    if files:
        from srat.core.plugins import load_plugin

        for file in files:
            load_plugin(Path(file))


def dispatch(args: list[str], debug: bool = False) -> int:
    """Run the command that ``args`` names, and return its exit code."""
    if len(args) > 1 and args[0] in HELP and args[1] in COMMANDS:
        args = [args[1], "--help"]
    if not args or args[0] in HELP:
        print(USAGE.format(commands="\n".join(f"  {name:<13} {text}" for name, text in COMMANDS.items())), end="")
        return 0
    if args[0] == "--version":
        from srat.version import version

        print(f"srat {version()}")
        return 0
    name, *rest = args
    if name not in COMMANDS:
        raise unknown("command", name, COMMANDS)
    rest = [at_home(said_word(word, place=place, words=rest)) for place, word in enumerate(rest)]
    if name in SEVERAL and (processes := processes_to_launch(rest)) != 1:
        return launch([name, *rest, *(["--debug"] if debug else [])], processes)
    return run_command(name, rest)


def said_word(word: str, *, place: int, words: Sequence[str]) -> str:
    """Return a word that says something; an empty one, as an unset variable leaves it, would mean the current folder.

    Args:
        word: one of the words.
        place: where it stands among them.
        words: all.

    Raises:
        UserError: if it is empty, or gives an empty value to a flag.
    """
    flag, equals, value = word.partition("=")
    if word == "" or (word.startswith("--") and equals and value == ""):
        before = words[place - 1] if place else ""
        name = flag or (before if before.startswith("-") else "")
        raise UserError(f"{f'{name}: ' if name else ''}expected a value, got an empty one ('')")
    return word


def at_home(word: str) -> str:
    """Return a word with the home folder in the place of ``~``, in ``--out=~/x`` too, where no shell puts it.

    A ~ that names no existing home stays as it is.
    """
    flag, equals, value = word.partition("=") if word.startswith("-") else ("", "", word)
    return f"{flag}{equals}{os.path.expanduser(value)}"  # noqa: PTH111 - a Path would change words that are not paths


def shown(error: BaseException, args: Sequence[str]) -> str:
    """Return an error's text with flags of the command that ``args`` name in the place of the settings' paths."""
    text = str(error)
    if "`" not in text or not args or args[0] not in COMMANDS:
        return text
    from srat.cli.naming import in_flags  # which brings torch

    return in_flags(text, args[0])


def fail(message: str, code: int, debug: bool, kind: str = "error: ") -> int:
    """Tell of an error in one line, after its traceback with --debug, and return ``code``."""
    if debug:
        traceback.print_exc()
    print(f"srat: {kind}{printable(' '.join(message.split()))}", file=sys.stderr)
    return code


def entry() -> None:
    """Run the console script."""
    follow_leader()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a "?" is better than no training
            stream.reconfigure(errors="replace")
    code = main()
    if code != 0 and "RANK" in os.environ:
        # Taking leave of the other processes may wait for them, and they may wait for this one.
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    sys.exit(code)
