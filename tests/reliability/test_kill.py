"""The short form of kill.py: a run that is killed at any moment ends as if it had not been."""

import random
import shlex
import shutil
import signal
import time

import pytest
from kill import RUN, different, finished, killed_run, run, start_session

from srat.core.tensor_file import open_tensors
from srat.evaluation.record import Evaluation
from srat.training.checkpoint import list_checkpoints

WORDS = [*RUN, "--guard", "none", "--epochs", "4", "--model.width", "8", "--checkpoint-every", "1"]
MEMBERS = shlex.split(
    "--sampling class-balanced --feature-loss separation-queue --optimizer adamw --schedule cosine --averaging ema"
)


@pytest.fixture(scope="module")
def timed(tmp_path_factory):
    """A run that was never stopped, and how long it takes here and now."""
    folder = tmp_path_factory.mktemp("whole")
    assert finished(["--version"]) == 0  # what sessions are forked from has imported all
    start = time.monotonic()
    assert run(folder, WORDS) == 0
    return folder, time.monotonic() - start


@pytest.fixture
def whole(timed):
    return timed[0]


@pytest.fixture
def seconds(timed):
    return timed[1]


def test_a_terminated_run_ends_in_the_same_bytes(whole, seconds, tmp_path):
    seen = killed_run(tmp_path, WORDS, kills=4, number=signal.SIGTERM, draw=random.Random(0), longest=seconds / 2)
    assert seen["kills"] >= 1
    assert different(whole, tmp_path) == []


def test_a_killed_run_ends_in_the_same_bytes(seconds, tmp_path):
    """With a member of each family that has state, slots or an order of its own."""
    assert run(tmp_path / "whole", [*WORDS, *MEMBERS]) == 0
    kills = {"kills": 4, "number": signal.SIGKILL, "draw": random.Random(0), "longest": seconds / 2}
    assert killed_run(tmp_path / "cut", [*WORDS, *MEMBERS], **kills)["kills"] >= 1
    assert (tmp_path / "cut" / "model-raw.safetensors").exists()
    assert different(tmp_path / "whole", tmp_path / "cut") == []


def test_a_killed_autoattack_ends_in_the_same_bytes(whole, tmp_path):
    one, other = (shutil.copytree(whole, tmp_path / name) for name in ("one", "other"))
    words = ["--attack", "autoattack", "--epsilon", "0.25"]
    start = time.monotonic()
    assert finished(["evaluate", str(one), *words]) == 0
    longest = time.monotonic() - start
    draw, stopped_in_the_middle = random.Random(0), 0
    for share in (0.3, 0.6):
        process = start_session(["evaluate", str(other), *words])
        process.join(share * longest * draw.uniform(0.9, 1.1))
        process.kill()
        process.join()
        stopped_in_the_middle += any((other / "unfinished").glob("last-autoattack-eps-0.25.0.safetensors"))
    assert stopped_in_the_middle
    assert finished(["evaluate", str(other), *words]) == 0
    assert not (other / "unfinished").exists()
    assert different(one, other) == []
    results = Evaluation.read(other / "evaluation.json").results
    assert 0 < sum(results["autoattack-eps-0.25"].counts.correct) < sum(results["clean"].counts.correct)


def test_a_run_that_could_not_write_goes_on_where_it_was(whole, tmp_path):
    weights = (whole / "model.safetensors").stat().st_size
    # Room for a checkpoint of weights and momentum; with the best weights, after an epoch, it is too large.
    assert run(tmp_path, WORDS, largest_file=int(2.5 * weights)) == 2
    checkpoints = list_checkpoints(tmp_path / "checkpoints")
    assert all(open_tensors(path).facts["epoch"] == 0 for path in checkpoints)
    assert open_tensors(checkpoints[-1]).facts["step"] == 5
    assert not list(tmp_path.rglob("*.tmp"))
    assert run(tmp_path, WORDS) == 0
    assert different(whole, tmp_path) == []
