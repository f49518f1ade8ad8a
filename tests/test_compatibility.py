"""Runs of older versions are opened for ever: read, evaluated, gone on with, compared and reported.

tests/compatibility/make.py made them, once.
"""

import json
import shutil
import sys
from pathlib import Path

import pytest
import torch

import srat
from reference import here
from srat import Config
from srat.evaluation.record import Evaluation

KEPT = Path(__file__).parent / "compatibility"
VERSIONS = ("v0.1", "2026-11-26")
MADE_ON = "x86_64 AuthenticAMD 26 AVX512 torch 2.13.0+cpu"
IDS = {
    "v0.1": {
        "finished": "4d88b554f802",
        "interrupted": "4d88b554f802",
        "wrapped": "dcc15dae9a9b",
        "folder": "ce15fbeeb601",
    },
    "2026-11-26": {
        "finished": "4d88b554f802",
        "interrupted": "4d88b554f802",
        "wrapped": "dcc15dae9a9b",
        "folder": "7a7b3566a095",
    },
}
sys.path.insert(0, str(KEPT))
from own import own  # noqa: E402


@pytest.fixture(autouse=True)
def _one_thread():
    """The number of threads decides the order of sums."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(params=VERSIONS)
def kept(request, tmp_path, monkeypatch):
    """The runs of a version, in a folder of their own, with the pictures beside them."""
    shutil.copytree(KEPT / request.param, tmp_path, dirs_exist_ok=True)
    shutil.copytree(KEPT / "pictures", tmp_path / "pictures")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def close(one, other):
    """Return whether weights are the same: to the bit where they were made."""
    compare = torch.equal if here() == MADE_ON else (lambda a, b: torch.allclose(a, b, rtol=1e-3, atol=1e-4))
    return one.keys() == other.keys() and all(compare(one[name], other[name]) for name in one)


@pytest.mark.parametrize("name", ["finished", "interrupted", "wrapped", "folder"])
@pytest.mark.parametrize("version", VERSIONS)
def test_configurations_keep_their_ids(version, name):
    config = Config.read(KEPT / version / name / "config.json")
    assert config.id == IDS[version][name]
    assert Config.from_json(config.to_json()).id == config.id


@pytest.mark.parametrize("name", ["finished", "folder"])
def test_an_evaluation_gives_the_same_numbers(kept, cli, name):
    before = json.loads((kept / name / "evaluation.json").read_text())
    (kept / name / "evaluation.json").unlink()
    code, _, err = cli("evaluate", name, "--attack", "pgd-2", "--device", "cpu")
    assert code == 0, err
    after = json.loads((kept / name / "evaluation.json").read_text())
    for key in ("class_names", "train_counts", "groups"):
        assert after[key] == before[key]
    for attack in ("clean", "pgd-2"):
        was, now = before["results"][attack], after["results"][attack]
        assert now["total"] == was["total"]
        assert now["attack"] == was["attack"]
        off = [abs(a - b) for a, b in zip(now["correct"], was["correct"], strict=True)]
        assert max(off) <= (0 if here() == MADE_ON else 1)


def test_an_evaluation_that_is_kept_is_not_made_again(kept, cli):
    """What is reckoned from it may be reckoned better than it was, and more of it."""

    def read():
        results = Evaluation.read(file).results
        return {name: (result.counts, result.attack, result.dtype) for name, result in results.items()}

    file = kept / "finished" / "evaluation.json"
    before = read()
    code, *_ = cli("evaluate", "finished", "--attack", "pgd-2", "--device", "cpu")
    assert code == 0
    assert read() == before


def test_an_interrupted_run_goes_on_to_the_same_weights(kept):
    """The finished run has the same configuration, and was not stopped."""
    config = Config.read("interrupted/config.json")
    run = srat.fit(config, out="interrupted", device="cpu", compiled="off")
    whole = srat.load("finished", device="cpu")
    assert close(run.model.state_dict(), whole.state_dict())
    rows = [Path(name, "metrics.csv").read_text().split("\n") for name in ("interrupted", "finished")]
    assert rows[0][0] == rows[1][0]
    if here() == MADE_ON:
        assert rows[0] == rows[1]


def test_a_wrapped_module_goes_on_to_the_weights_of_a_run_that_was_not_stopped(kept):
    config = Config.read("wrapped/config.json")
    run = srat.fit(config, out="wrapped", model=own(), device="cpu", compiled="off")
    anew = srat.fit(config, model=own(), device="cpu", compiled="off")
    assert close(run.model.state_dict(), anew.model.state_dict())


def test_commands_read_old_runs(kept, cli):
    for words, said in [
        (("runs", "."), "finished"),
        (("compare", "finished", "other"), "McNemar"),
        (("report", "folder"), "report.html"),
        (("audit", "folder", "--check", "disjoint"), "disjoint"),
    ]:
        code, out, err = cli(*words)
        assert (code, said in out) == (0, True), (words, out, err)


def test_the_folder_source_is_found_at_its_name_of_version_0_1():
    from srat.data.folder import Folder

    assert isinstance(srat.compose(data="folder", data_dir=KEPT / "pictures").data, Folder)


def test_a_trained_run_of_data_at_a_relative_place_is_known_again(kept, capsys):
    from srat.cli import main

    assert main(["train", "--resume", "--out", "folder"]) == 0
    assert "continuing the run in folder, which is trained" in capsys.readouterr().out
