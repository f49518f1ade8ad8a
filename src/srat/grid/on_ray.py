"""Runs on a Ray cluster, in a folder that its machines share."""

import importlib
import os
import signal
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from srat.config.config import Config
from srat.core.errors import UserError
from srat.grid.engine import POLL, Executor, Handle
from srat.grid.local import close_stdin, start_command
from srat.grid.plan import Job
from srat.runs.folder import RunFolder

LOCK_WAIT = 120.0
"""Seconds that a run's next worker waits for what a killed one has left behind to end."""
_MANY = 1 << 30


class _CrashedError(Exception):
    """The process of a run was ended by a signal: it goes on elsewhere."""


def perform(commands: Sequence[Sequence[str]], folder: Path, log: Path, threads: int) -> int:
    """Do a run's commands, one after the other, and return the exit code of what failed or was last.

    When the worker that does it is killed, the process of the run notices, saves its state, and ends.

    Raises:
        _CrashedError: if the process was killed.
    """
    code = 0
    for words in commands:
        with RunFolder(folder).locked(wait=LOCK_WAIT):
            pass
        process = start_command(words, log, threads)
        try:
            while process.poll() is None:  # a cancelled task is told so between two instructions of Python
                time.sleep(POLL)
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
            code = process.wait()
            close_stdin(process)
        if code < 0:
            raise _CrashedError(f"signal {-code}")
        if code != 0:
            break
    return code


class _Submitted(Handle):
    """A run that Ray has been given."""

    def __init__(self, ray: Any, task: Any, marker: Path) -> None:
        self._ray, self._task, self._marker = ray, task, marker
        self._code: int | None = None

    def begun(self) -> bool:
        """Return whether a worker has taken it."""
        return self._marker.exists()

    def poll(self) -> int | None:
        """Return its exit code, or None while it goes on or waits for a worker."""
        if self._code is None and self._ray.wait([self._task], timeout=0)[0]:
            try:
                self._code = self._ray.get(self._task)
            except self._ray.exceptions.TaskCancelledError:
                self._code = 128 + signal.SIGTERM
            except self._ray.exceptions.RayError as error:
                self._code = 1
                with self._marker.with_suffix(".log").open("a") as log:
                    log.write(f"\nsrat: error: {' '.join(str(error).split())[-300:]}\n")
            self._marker.unlink(missing_ok=True)
        return self._code

    def stop(self, _: int) -> None:
        """Cancel the task, which ends the run's process well."""
        self._ray.cancel(self._task, force=False)


class OnRay(Executor):
    """Runs on a cluster, as many at a time as it has room for.

    Args:
        address: of a cluster that is there, or None to start one on this machine.
        cpus: for each run, and its threads.
        gpus: for each run; a part of one lets several share it.
        retries: how often a run goes on elsewhere after its worker has died.
        device: what they train on.

    Raises:
        UserError: if Ray is not installed, or the cluster cannot be reached.
    """

    slots = _MANY
    """Ray keeps those that have no room yet."""

    def __init__(self, *, address: str | None, cpus: int, gpus: float, retries: int, device: str) -> None:
        try:
            ray: Any = importlib.import_module("ray")
        except ModuleNotFoundError as error:
            raise UserError("`executor` ray needs Ray: pip install 'srat[ray]'") from error
        self._ray = ray
        self._device, self._threads = device, cpus
        ours = signal.getsignal(signal.SIGTERM)
        try:
            ray.init(address=address, log_to_driver=False, include_dashboard=False, logging_level="error")
        except (ConnectionError, RuntimeError, ValueError) as error:
            raise UserError(f"`address` {address}: no cluster there ({error})") from error
        finally:
            signal.signal(signal.SIGTERM, ours)  # Ray has put in one that raises
        there = ray.cluster_resources()
        for option, wanted, name in (("threads", cpus, "CPU"), ("gpus_per_run", gpus, "GPU")):
            if wanted > there.get(name, 0):
                ray.shutdown()
                raise UserError(f"`{option}` {wanted:g}: the cluster has {there.get(name, 0):g} {name}s in all")
        self._task = ray.remote(
            num_cpus=cpus, num_gpus=gpus, max_retries=retries, retry_exceptions=[_CrashedError], max_calls=1
        )(_work)

    def start(self, job: Job, log: Path) -> _Submitted:
        """Hand a run to Ray."""
        marker = log.absolute().with_suffix(".running")
        marker.unlink(missing_ok=True)
        environment = {name: value for name, value in os.environ.items() if name.startswith("SRAT_")}
        folder = job.folder.path.absolute()
        # The worker knows the members of plugins once it has the environment: what it gets names no class of theirs.
        plain = vars(job) | {"config": job.config.to_json(), "folder": str(folder)}
        task = self._task.remote(plain, self._device, log.absolute(), marker, self._threads, environment)
        return _Submitted(self._ray, task, marker)

    def close(self) -> None:
        """Leave the cluster; one that was started here ends."""
        self._ray.shutdown()


def _work(
    plain: dict[str, Any], device: str, log: Path, marker: Path, threads: int, environment: dict[str, str]
) -> int:
    """Do what is left of a run, in a worker; a retry asks again what that is."""
    os.environ.update(environment)
    config, folder = Config.from_json(plain["config"]), RunFolder(Path(plain["folder"]))
    job = Job(**plain | {"config": config, "folder": folder})
    marker.write_text(f"{os.getpid()} {time.time():.0f}\n")
    return perform(job.commands(device), job.folder.path, log, threads)
