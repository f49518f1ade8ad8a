"""The short form of kill.py: a run that is killed at any moment ends as if it had not been."""

import random
import signal

import pytest
from kill import RUN, different, killed_run, run

WORDS = [*RUN, "--epochs", "4", "--model.width", "8", "--checkpoint-every", "1"]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole")
    assert run(folder, WORDS) == 0
    return folder


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_killed_run_ends_in_the_same_bytes(whole, tmp_path, number):
    seen = killed_run(tmp_path, WORDS, kills=6, number=number, draw=random.Random(0), longest=0.8)
    assert seen["kills"] >= 2
    assert different(whole, tmp_path) == []
