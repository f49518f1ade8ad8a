"""Signals wait until it is convenient; what was ignored stays ignored."""

import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from srat.core.signals import LEADER, STOPPING, Interrupted, deferring_signals


def send(number):
    os.kill(os.getpid(), number)


@pytest.mark.parametrize("number", STOPPING)
def test_a_signal_waits_for_the_check(number):
    with deferring_signals() as interruption:
        interruption.check()
        send(number)
        with pytest.raises(Interrupted) as raised:
            interruption.check()
    assert raised.value.exit_code == 128 + number
    assert str(raised.value) == f"stopped by {signal.Signals(number).name}"


def test_the_first_one_counts():
    with deferring_signals() as interruption:
        send(signal.SIGUSR1)
        send(signal.SIGTERM)
        with pytest.raises(Interrupted, match="SIGUSR1"):
            interruption.check()


@pytest.mark.parametrize("first", STOPPING)
def test_a_control_c_after_another_signal_ends_at_once(first):
    with deferring_signals():
        send(first)
        with pytest.raises(KeyboardInterrupt) as raised:
            send(signal.SIGINT)
    assert type(raised.value) is KeyboardInterrupt


def test_within_itself_it_is_the_same():
    with deferring_signals() as outer:
        send(signal.SIGTERM)
        with deferring_signals() as inner, pytest.raises(Interrupted):
            inner.check()
        assert outer is inner
        assert signal.getsignal(signal.SIGTERM) is outer


def test_handlers_come_back_even_after_an_error():
    before = [signal.getsignal(number) for number in STOPPING]
    with pytest.raises(ZeroDivisionError), deferring_signals():
        raise ZeroDivisionError
    assert [signal.getsignal(number) for number in STOPPING] == before


def test_what_is_ignored_stays_ignored():
    before = signal.signal(signal.SIGUSR1, signal.SIG_IGN)
    try:
        with deferring_signals() as interruption:
            send(signal.SIGUSR1)
            interruption.check()
    finally:
        signal.signal(signal.SIGUSR1, before)


def test_another_thread_leaves_signals_alone():
    def look():
        with deferring_signals():
            seen.append(signal.getsignal(signal.SIGTERM))

    seen = []
    before = signal.getsignal(signal.SIGTERM)
    thread = threading.Thread(target=look)
    thread.start()
    thread.join()
    assert seen == [before]


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        ("lambda *_: os._exit(7)", 7),  # who hears the signal ends in its own way
        ("signal.SIG_IGN", 128 + signal.SIGTERM),  # who does not, all the same
    ],
)
def test_who_follows_a_leader_ends_with_it(answer, code):
    script = (
        "import os, signal, time; import srat.core.signals as i\n"
        f"signal.signal(signal.SIGTERM, {answer}); i.GRACE = 0.3; i.follow_leader()\n"
        "time.sleep(60)\n"
    )
    follower = subprocess.Popen(
        [sys.executable, "-c", script], stdin=subprocess.PIPE, env={**os.environ, LEADER: str(os.getpid())}
    )
    with pytest.raises(subprocess.TimeoutExpired):
        follower.wait(1)
    start = time.monotonic()
    follower.stdin.close()
    assert follower.wait(20) == code
    assert time.monotonic() - start < 10
