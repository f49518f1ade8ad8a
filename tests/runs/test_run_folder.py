"""Locks: one process at a time, and none after its end, however it ended."""

import os
import signal
import subprocess
import sys

import pytest

from srat.core.errors import UserError
from srat.runs.folder import RunFolder

HOLD = """
import sys, time
from pathlib import Path
from srat.runs.folder import RunFolder
with RunFolder(Path(sys.argv[1])).locked():
    print("locked", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def holder(tmp_path, forked):
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "locked\n"
    yield process
    process.kill()
    process.wait()
    process.stdout.close()


def test_the_second_is_refused_and_told_by_whom(holder, tmp_path):
    with (
        pytest.raises(
            UserError, match=rf"is in use by process {holder.pid} on {os.uname().nodename}; wait for its end"
        ),
        RunFolder(tmp_path).locked(),
    ):
        pass


def test_the_lock_of_a_killed_process_is_taken_over(holder, tmp_path):
    os.kill(holder.pid, signal.SIGKILL)
    holder.wait()
    assert (tmp_path / ".lock").read_text().startswith(f"{holder.pid}\n")
    with RunFolder(tmp_path).locked():
        assert (tmp_path / ".lock").read_text().startswith(f"{os.getpid()}\n")


def test_one_who_waits_gets_it(holder, tmp_path):
    holder.send_signal(signal.SIGTERM)
    with RunFolder(tmp_path).locked(wait=30):
        pass


def test_it_may_be_taken_within_itself(tmp_path):
    folder = RunFolder(tmp_path)
    with folder.locked(), RunFolder(tmp_path).locked(wait=3):
        pass
    with folder.locked():
        pass


def test_metrics_come_back_as_they_were(tmp_path):
    rows = [
        {"epoch": 0, "loss": 0.1 + 0.2, "tiny": 1e-300, "nan": -0.5},
        {"epoch": 1, "loss": 1e22, "tiny": 0.0, "nan": 3.0},
    ]
    RunFolder(tmp_path).write_metrics(rows)
    back = RunFolder(tmp_path).read_metrics()
    assert back == rows
    assert [type(value) for value in back[0].values()] == [int, float, float, float]


@pytest.mark.parametrize(
    "content", ["epoch\nx\n", "epoch\n1,2\n", "epoch,loss\n1\n", "a,b\n1,2\n3\n", "\x00\n\x00", "epoch\n" + "9" * 5_000]
)
def test_refuses_metrics_that_are_none(tmp_path, content):
    (tmp_path / "metrics.csv").write_text(content)
    with pytest.raises(UserError, match=r"metrics.csv: not a readable table of numbers"):
        RunFolder(tmp_path).read_metrics()


def test_a_new_run_starts_from_this_ones_weights_whatever_it_began_with(tmp_path):
    folder = RunFolder(tmp_path / "a")
    for words in (["--init", "x"], ["--init=x"], ["--init", "x", "--init=y"]):
        said = folder.how_to_start_from([*words, "--epochs", "40"])
        assert said.count("--init") == 1
        assert f"--init {tmp_path / 'a'} --epochs 40" in said
