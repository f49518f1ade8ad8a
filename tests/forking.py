"""Commands of srat, and lines of Python, in processes that are forked from one which has imported what they need.

``python -m srat`` imports for seconds. A fork of a process that has done so is there at once, and as good: a child of
the one that starts it, with a number, signals, streams, a folder, an environment and an exit code of its own. What
interpreter and libraries read when they start it does not read: what needs that is started in earnest. Nor does it
trace a step's memory before it trains, and its maps are drawn in fewer steps.

``python -c``, scripts, and ``python -m srat`` with other packages are forked from one that has imported all
that srat imports, and nothing of srat: they import srat themselves, as they would.
"""

import atexit
import ctypes
import gc
import os
import runpy
import signal
import subprocess
import sys
import threading
import traceback
import types
from contextlib import contextmanager
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from multiprocessing.reduction import recv_handle, send_handle
from pathlib import Path
from typing import ClassVar

MODULE = ["-m", "srat"]
FIRST = "RUN_FIRST"
"""Variable of the environment of a fork: the path of a script that it runs before the command."""
OWN = {
    *("RANK", "LOCAL_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE", "GROUP_RANK", "MASTER_ADDR", "MASTER_PORT"),
    *("OMP_NUM_THREADS", "SRAT_LEADER", "SRAT_PLUGINS", "PYTEST_CURRENT_TEST", "PYTEST_VERSION", FIRST),
    # Libraries set them once they are used, for the processes below.
    *("TORCHINDUCTOR_CACHE_DIR", "PYTORCH_NVML_BASED_CUDA_CHECK", "KMP_INIT_AT_FORK", "NO_MKDOCS_2_WARNING"),
}
"""Variables of the environment that are read when they are needed, or given to torch here; others must be the same."""
PACKAGES = {"PYTHONPATH"}
"""The variable that counts for what imports srat itself."""
PATIENCE = 120
"""Seconds for what takes at most ten."""
SUBREAPER = 36
"""What Linux calls a process that gets the orphans below it as children."""

real = subprocess._fork_exec


@contextmanager
def forking():
    """Whatever starts ``python -m srat`` or ``python -c`` forks it, here and in the processes so started."""
    before, subprocess._fork_exec = subprocess._fork_exec, starting(Nursery.environment(), give_birth)
    try:
        yield
    finally:
        subprocess._fork_exec = before


@contextmanager
def in_earnest():
    """Within `forking`: start Python itself."""
    before, subprocess._fork_exec = subprocess._fork_exec, real
    try:
        yield
    finally:
        subprocess._fork_exec = before


def starting(same, fork):
    """Return what stands in the place of `subprocess`'s own way to start a process.

    Args:
        same: the environment that the fork has read.
        fork: forks what is described, and returns its number, or None if that is no time to fork.
    """

    def start(args, programs, close_fds, keep, folder, environment, *rest):
        fds, (restoring, session, group, gid, gids, uid, umask, before) = rest[:8], rest[8:16]
        strings = os.environb.items() if environment is None else (pair.split(b"=", 1) for pair in environment)
        variables = {os.fsdecode(name): os.fsdecode(value) for name, value in strings}
        others = {name for name, value in {*variables.items()} ^ {*same.items()}} - OWN
        usual = close_fds and restoring and (gid, gids, uid, umask, before) == (None, None, None, -1, None)
        ours = [*args[1:3]] == MODULE
        known = args[0] == sys.executable and (ours or args[1] == "-c" or args[1].endswith(".py"))
        if not known or not usual or len(keep) > 1 or others - PACKAGES or "OMP_NUM_THREADS" not in variables:
            return real(args, programs, close_fds, keep, folder, environment, *rest)
        streams = [fd if fd != -1 else own for own, fd in enumerate((fds[0], fds[3], fds[5]))]
        at = Path.cwd() if folder is None else Path(os.fsdecode(folder)).absolute()
        child = fork(not ours or bool(others), args[1:], variables, at, session, group, streams)
        return real(args, programs, close_fds, keep, folder, environment, *rest) if child is None else child

    return start


def become(words, environment, folder, session, group, streams):
    """Be, from now on, ``python`` with these words, to the end."""
    code = 1
    try:
        for number in range(1, signal.NSIG):  # as after exec: what was ignored stays so
            if callable(signal.getsignal(number)):
                signal.signal(number, signal.SIG_DFL if number != signal.SIGINT else signal.default_int_handler)
        if session:
            os.setsid()
        if group != -1:
            os.setpgid(0, group)
        for number, fd in enumerate([os.dup(fd) for fd in streams]):
            os.dup2(fd, number)
        os.closerange(3, os.sysconf("SC_OPEN_MAX"))
        for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
            renew(name, mode)
        os.environ.clear()
        os.environ.update(environment)
        os.chdir(folder)
        subprocess._fork_exec = starting(environment, fork_here)
        paths = filter(None, environment.get("PYTHONPATH", "").split(os.pathsep))
        sys.path[1:1] = [path for path in paths if path not in sys.path]
        sys.modules["torch"].set_num_threads(int(environment["OMP_NUM_THREADS"]))
        if FIRST in environment:
            runpy.run_path(environment[FIRST])
        run(*words, folder=folder)
        code = 0
    except SystemExit as end:
        code = end.code or 0
    except BaseException:
        traceback.print_exc()
    finally:
        threading._shutdown()
        atexit._run_exitfuncs()
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        os._exit(code)


def run(kind, *words, folder):
    """Do what ``python`` does with these words."""
    if kind == "-m":
        sys.path[0], sys.argv = str(folder), ["", *words[1:]]
        runpy.run_module(words[0], run_name="__main__", alter_sys=True)
        return
    main = sys.modules["__main__"] = types.ModuleType("__main__")
    if kind == "-c":
        sys.path[0], sys.argv, (code, path) = "", ["-c", *words[1:]], (words[0], "<string>")
    else:
        sys.path[0], sys.argv, (code, path) = str(Path(kind).parent), [kind, *words], (Path(kind).read_text(), kind)
        main.__file__ = kind
    exec(compile(code, path, "exec"), main.__dict__)


def renew(name, mode):
    """Open a standard stream as the interpreter does when it starts."""
    old = getattr(sys, f"__{name}__")  # it may stand redirected
    lines = {"line_buffering": True} if name == "stderr" else {}
    new = open(old.fileno(), mode, encoding=old.encoding, errors=old.errors, closefd=False)  # noqa: SIM115
    new.reconfigure(**lines)
    setattr(sys, name, new)
    setattr(sys, f"__{name}__", new)


def threads():
    """Return how many this process has, torch's among them."""
    return len(list(Path("/proc/self/task").iterdir()))


def fork_here(bare, words, environment, folder, session, group, streams):
    """Fork this process, itself forked, unless it has several threads, of which the fork would have one.

    Nor is one forked that is to have nothing of srat.
    """
    if bare or threads() > 1:
        return None
    for stream in (sys.stdout, sys.stderr, sys.__stdout__, sys.__stderr__):
        stream.flush()
    if (child := os.fork()) == 0:
        become(words, environment, folder, session, group, streams)
    return child


def give_birth(bare, *described):
    """Fork what is described, and return its number; it is a child of this process.

    Args:
        bare: whether it is to have nothing of srat.
        described: what it is.
    """
    return Nursery.running(bare).give_birth(*described)


class Nursery:
    """The process that the others are forked from, a child of this one, and gone with it."""

    _running: ClassVar = {}
    _environment = None

    @classmethod
    def environment(cls):
        """What all of this process read when they started."""
        cls._environment = cls._environment or {**os.environ, "OMP_NUM_THREADS": "1"}
        return cls._environment

    @classmethod
    def running(cls, bare):
        """The one of this process."""
        if bare not in cls._running:
            cls._running[bare] = cls(bare)
        return cls._running[bare]

    def __init__(self, bare):
        self.asked, other = Pipe()
        with other, in_earnest():
            command = [sys.executable, __file__, str(other.fileno()), "bare" if bare else "whole"]
            self.process = subprocess.Popen(
                command, env=self.environment(), pass_fds=[other.fileno()], stdin=subprocess.DEVNULL
            )
        atexit.register(self.close)

    def close(self):
        """Let it end."""
        self.asked.close()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def give_birth(self, *described):
        """Fork what is described, and return its number; it is a child of this process."""
        *described, streams = described
        prctl = ctypes.CDLL(None).prctl
        self.asked.send(described)
        for stream in streams:
            send_handle(self.asked, stream, self.process.pid)
        # Whoever forks it ends at once, and leaves it to the next above that takes orphans.
        prctl(SUBREAPER, 1, 0, 0, 0)
        try:
            self.asked.send("now")
            if not self.asked.poll(PATIENCE):
                raise TimeoutError("what commands are forked from does not answer")
            return self.asked.recv()
        finally:
            prctl(SUBREAPER, 0, 0, 0, 0)


def import_all():
    """Import what commands import, and srat itself."""
    import PIL.Image

    import srat.cli.commands.evaluate
    import srat.cli.commands.grid
    import srat.cli.commands.train
    import srat.cli.training  # noqa: F401
    from shortening import shorten_maps
    from srat.report.html import page

    PIL.Image.init()
    page._environment().get_template("page.html.j2")
    shorten_maps()


def spare_memory():
    """Let no training trace a step's memory before it begins."""
    from srat.training import fitting

    fitting.check_memory = lambda *_, **__: None


def forget_srat():
    """Be as a process is that has not imported srat."""
    for name in [name for name in sys.modules if name.split(".")[0] == "srat"]:
        del sys.modules[name]


def serve(asked, *, bare):
    """Fork whatever is asked for, until nobody is left who could ask."""
    import_all()
    forget_srat() if bare else spare_memory()
    assert threads() == 1
    gc.collect()
    gc.freeze()
    while True:
        try:
            described = asked.recv()
        except (EOFError, KeyboardInterrupt):
            return
        streams = [recv_handle(asked) for _ in range(3)]
        asked.recv()
        reading, writing = os.pipe()
        if (between := os.fork()) == 0:
            if (child := os.fork()) == 0:
                become(*described, streams)
            os.write(writing, child.to_bytes(8))
            os._exit(0)
        os.waitpid(between, 0)
        asked.send(int.from_bytes(os.read(reading, 8)))
        for fd in (*streams, reading, writing):
            os.close(fd)


if __name__ == "__main__":
    serve(Connection(int(sys.argv[1])), bare=sys.argv[2] == "bare")
