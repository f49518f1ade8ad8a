"""Shapes and types are checked while the tests run, and only then: the hook precedes every import of srat."""

# It compares values with annotations itself, so often that its own being checked doubles the time of the tests.

import os

import srat.core.checked  # noqa: F401
from checking import check_types

if "UNCHECKED" not in os.environ:  # mutants.py: a fault is to be caught by a test
    check_types()

import signal
import sys
from pathlib import Path

import pooch
import pytest
import requests
import torch

from forking import forking
from remembering import remember_classes
from shortening import shorten_autoattack, shorten_maps
from srat.data import Dataset
from srat.data.sources.fashion_mnist import DEBIAN_FOLDER

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # as a shell has it that starts the tests in the background
    signal.signal(signal.SIGINT, signal.default_int_handler)
if "PYTEST_XDIST_WORKER" in os.environ:  # each of several has a core to itself; so have the processes that it starts
    torch.set_num_threads(1)
    os.environ["OMP_NUM_THREADS"] = "1"


remember_classes()


def pytest_addoption(parser):
    parser.addoption("--update-golden", action="store_true", help="write the golden traces anew")


# Files that take longest come first where several share the tests: at the end each has short ones to choose from.
DEAREST = (
    "test_processes.py",
    "test_mistakes_training.py",
    "test_trainer.py",
    "test_cli.py",
    "test_kill.py",
    "test_audit.py",
    "test_docs.py",
    "test_grid.py",
    "test_split.py",
    "test_reference.py",
    "test_pages.py",
    "test_members.py",
    "test_edges.py",
    "test_predict_export.py",
    "test_own_images.py",
    "test_release.py",
)


def pytest_collection_modifyitems(items):
    if "PYTEST_XDIST_WORKER" in os.environ:
        items.sort(key=lambda item: DEAREST.index(item.path.name) if item.path.name in DEAREST else len(DEAREST))
    cifar = os.environ.get("SRAT_DATA_DIR")
    without_cifar = pytest.mark.skip(reason="SRAT_DATA_DIR names no folder with CIFAR-10")
    without_fashion = pytest.mark.skip(reason=f"no Fashion-MNIST in {DEBIAN_FOLDER}")
    without_gpu = pytest.mark.skip(reason="no CUDA device")
    for item in items:
        if (real := item.get_closest_marker("real_data")) is not None:
            if "cifar10" in real.args and not (cifar and (Path(cifar) / "cifar-10-batches-py").is_dir()):
                item.add_marker(without_cifar)
            if "fashion-mnist" in real.args and not DEBIAN_FOLDER.is_dir():
                item.add_marker(without_fashion)
        if item.get_closest_marker("gpu") and not torch.cuda.is_available():
            item.add_marker(without_gpu)


@pytest.fixture(scope="module", autouse=True)
def _own_environment():
    """What a library sets in the environment, as Ray and MkDocs do, stays within a file of tests."""
    before = dict(os.environ)
    yield
    for name in os.environ.keys() - before.keys() - {"PYTEST_CURRENT_TEST"}:
        del os.environ[name]
    os.environ.update(before)


@pytest.fixture
def rng():
    return torch.Generator().manual_seed(0)


@pytest.fixture
def images(rng):
    return torch.rand(12, 3, 8, 8, generator=rng)


@pytest.fixture
def labels():
    return torch.arange(12) % 4


@pytest.fixture
def dataset(images, labels):
    return Dataset((images * 255).round().byte(), labels, ("a", "b", "c", "d"))


@pytest.fixture
def no_network(monkeypatch, tmp_path):
    """Let no reader download anything, and leave the cache of what was downloaded empty."""

    def refuse(*args, **kwargs):
        raise requests.ConnectionError("no network")

    monkeypatch.setattr(pooch, "retrieve", refuse)
    monkeypatch.setattr(pooch, "os_cache", lambda name: tmp_path / "cache" / name)


@pytest.fixture
def short_autoattack(monkeypatch):
    """AutoAttack makes a fraction of its steps and queries."""
    shorten_autoattack(monkeypatch.setattr)


@pytest.fixture
def quick_maps(monkeypatch):
    """Maps are drawn in a quarter of the steps."""
    shorten_maps(monkeypatch.setattr)


@pytest.fixture(scope="module")
def forked():
    """Processes of ``python -m srat`` are forked from one that has imported it."""
    with forking():
        yield


@pytest.fixture
def cli(capsys):
    """Run the command line in this process; returns exit code, standard output and standard error."""
    from srat.cli import main

    def run(*words):
        code = main([str(word) for word in words])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


def estimate_no_memory(patch, path):
    """Before each training here a step would be traced, which takes as long as most of them."""
    fitting = sys.modules.get("srat.training.fitting")
    if fitting is not None and path.name != "test_memory.py":
        patch.setattr(fitting, "check_memory", lambda *_, **__: None)


def look_for_no_callbacks(patch):
    """Each Fabric looks through all packages that are installed for callbacks, which takes as long as a small step."""
    fabric = sys.modules.get("lightning_fabric.fabric")
    if fabric is not None:
        patch.setattr(fabric, "_load_external_callbacks", lambda group: [], raising=False)


@pytest.fixture(autouse=True, scope="module")
def _memory_is_estimated_where_it_is_tested(request):
    with pytest.MonkeyPatch.context() as patch:  # a module's own fixtures train, too
        estimate_no_memory(patch, request.path)
        look_for_no_callbacks(patch)
        yield


@pytest.fixture(autouse=True)
def _nor_by_what_a_test_has_imported(request, monkeypatch):
    estimate_no_memory(monkeypatch, request.path)
    look_for_no_callbacks(monkeypatch)
