"""Commands of srat in processes that are forked from one which has imported what they need.

``python -m srat`` imports for seconds. A fork of a process that has done so is there at once, and as good: a child of
the one that starts it, with a number, signals, streams, a folder, an environment and an exit code of its own. What
interpreter and libraries read when they start it does not read: what needs that is started in earnest. Nor does it
trace a step's memory before it trains, and its maps are drawn in fewer steps.
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
from contextlib import contextmanager
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from multiprocessing.reduction import recv_handle, send_handle
from pathlib import Path

COMMAND = [sys.executable, "-m", "srat"]
FIRST = "RUN_FIRST"
"""Variable of the environment of a fork: the path of a script that it runs before the command."""
OWN = {
    *("RANK", "LOCAL_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE", "GROUP_RANK", "MASTER_ADDR", "MASTER_PORT"),
    *("OMP_NUM_THREADS", "SRAT_LEADER", "PYTEST_CURRENT_TEST", "PYTEST_VERSION", FIRST),
}
"""Variables of the environment that are read when they are needed, or given to torch here; others must be the same."""
PATIENCE = 120
"""Seconds for what takes at most ten."""
SUBREAPER = 36
"""What Linux calls a process that gets the orphans below it as children."""

real = subprocess._fork_exec


@contextmanager
def forking():
    """Whatever starts ``python -m srat`` forks it, here and in the processes so started."""
    nursery = Nursery.running()
    before, subprocess._fork_exec = subprocess._fork_exec, starting(nursery.environment, nursery.give_birth)
    try:
        yield
    finally:
        subprocess._fork_exec = before


@contextmanager
def in_earnest():
    """Within `forking`: start ``python -m srat`` itself."""
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
        if [*args[:3]] != COMMAND or not usual or len(keep) > 1 or others or "OMP_NUM_THREADS" not in variables:
            return real(args, programs, close_fds, keep, folder, environment, *rest)
        streams = [fd if fd != -1 else own for own, fd in enumerate((fds[0], fds[3], fds[5]))]
        at = Path.cwd() if folder is None else Path(os.fsdecode(folder)).absolute()
        child = fork(args[3:], variables, at, session, group, streams)
        return real(args, programs, close_fds, keep, folder, environment, *rest) if child is None else child

    return start


def become(words, environment, folder, session, group, streams):
    """Be, from now on, ``python -m srat`` with these words, to the end."""
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
        sys.path[0], sys.argv = str(folder), ["", *words]
        sys.modules["torch"].set_num_threads(int(environment["OMP_NUM_THREADS"]))
        if FIRST in environment:
            runpy.run_path(environment[FIRST])
        runpy.run_module("srat", run_name="__main__", alter_sys=True)
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


def renew(name, mode):
    """Open a standard stream as the interpreter does when it starts."""
    old = getattr(sys, name)
    lines = {"line_buffering": True} if name == "stderr" else {}
    new = open(old.fileno(), mode, encoding=old.encoding, errors=old.errors, closefd=False)  # noqa: SIM115
    new.reconfigure(**lines)
    setattr(sys, name, new)
    setattr(sys, f"__{name}__", new)


def threads():
    """Return how many this process has, torch's among them."""
    return len(list(Path("/proc/self/task").iterdir()))


def fork_here(words, environment, folder, session, group, streams):
    """Fork this process, itself forked, unless it has several threads, of which the fork would have one."""
    if threads() > 1:
        return None
    sys.stdout.flush()
    sys.stderr.flush()
    if (child := os.fork()) == 0:
        become(words, environment, folder, session, group, streams)
    return child


class Nursery:
    """The process that the others are forked from, a child of this one, and gone with it."""

    _running = None

    @classmethod
    def running(cls):
        """The one of this process."""
        cls._running = cls._running or cls()
        return cls._running

    def __init__(self):
        self.environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        self.asked, other = Pipe()
        with other:
            command = [sys.executable, __file__, str(other.fileno())]
            self.process = subprocess.Popen(
                command, env=self.environment, pass_fds=[other.fileno()], stdin=subprocess.DEVNULL
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


def serve(asked):
    """Fork whatever is asked for, until nobody is left who could ask."""
    import PIL.Image

    import srat.cli.commands.evaluate
    import srat.cli.commands.grid
    import srat.cli.commands.train
    import srat.cli.training  # noqa: F401
    from shortening import shorten_maps
    from srat.report.html import page
    from srat.training import fitting

    PIL.Image.init()
    page._environment().get_template("page.html.j2")
    fitting.check_memory = lambda *_, **__: None
    shorten_maps()
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
    serve(Connection(int(sys.argv[1])))
