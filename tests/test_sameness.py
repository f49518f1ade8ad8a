"""What a run computes, to the bit: on the platforms in the file, a change of any tensor is a change of the method.

`make golden` writes this platform's hashes anew; nothing but a change that is meant to alter numbers may do so.
"""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from named import of_method
from reference import digest, here
from srat import Config, fit
from srat.core.signals import Interrupted
from srat.data.imbalance import Step
from srat.methods import methods
from srat.models.backbones.small_cnn import SmallCNN
from stopping import StopAfter

HASHES = Path(__file__).parent / "golden" / "hashes.json"
RECORDED = Path(__file__).parent / "golden" / "recorded.json"
RESULTS = Path(__file__).parents[1] / "docs" / "results"


def six_steps(method):
    """Return a run of two epochs of three steps; class weights apply in the second where they are deferred."""
    config = of_method(method, epochs=2, batch_size=32, imbalance=Step(ratio=5, cap=20))
    sgd = replace(config.optimizer, learning_rate=0.05)
    return replace(config, model=SmallCNN(width=4), optimizer=sgd)


def trained(method, folder):
    """Return the digests of weights, of the epochs' numbers, and of what the checkpoint of an interrupted run holds."""
    config = six_steps(method)
    with pytest.raises(Interrupted):
        fit(config, out=folder, device="cpu", compiled="off", checkpoint_every="1", observer=StopAfter(5))
    checkpoint = load_file(max((folder / "checkpoints").glob("*.safetensors")))
    run = fit(config, out=folder, device="cpu", compiled="off")
    rows = {
        f"{i} {name}": torch.tensor(x, dtype=torch.float64) for i, r in enumerate(run.history) for name, x in r.items()
    }
    return {"checkpoint": digest(checkpoint), "weights": digest(run.model.state_dict()), "metrics": digest(rows)}


@pytest.fixture(autouse=True)
def _one_thread():
    """The number of threads decides the order of sums."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.mark.parametrize("method", methods())
def test_six_steps_end_in_the_same_bytes(method, tmp_path, request):
    golden = json.loads(HASHES.read_text())
    if request.config.getoption("--update-golden"):
        golden.setdefault(here(), {})[method] = trained(method, tmp_path / "new")
        HASHES.write_text(json.dumps(golden, indent=1) + "\n")
    there = [platform for platform, hashes in golden.items() if method in hashes]
    if here() not in there:
        pytest.skip(f"hashes are those of {' and '.join(there)}, this is {here()}")
    assert trained(method, tmp_path / "run") == golden[here()][method]


def test_methods_differ():
    for golden in json.loads(HASHES.read_text()).values():
        apart = {method: hashes["weights"] for method, hashes in golden.items() if method != "logit-adjustment"}
        assert len(set(apart.values())) == len(apart)
        assert golden.get("logit-adjustment", {}).get("weights") == golden.get("bsl", {}).get("weights")


def test_recorded_runs_keep_their_ids():
    recorded = json.loads(RECORDED.read_text())
    there = {str(path.parent.relative_to(RESULTS)): Config.read(path).id for path in RESULTS.rglob("config.json")}
    assert {name: there.get(name) for name in recorded} == recorded
    assert len(recorded) == 135


def test_what_was_recorded_since_has_its_id_for_a_name():
    named = {path.parent.name: Config.read(path).id for path in RESULTS.glob("*/runs/*/config.json")}
    assert len(named) > 135
    assert {name: recorded for name, recorded in named.items() if recorded != name} == {}
