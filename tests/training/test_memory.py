"""Memory: what a step takes, traced without taking it; what is said when it does not suffice."""

import subprocess
import sys
from dataclasses import replace
from functools import partial

import pytest
import torch
from torch import nn

from named import of_method
from srat.attacks import PGD
from srat.config.composition import compose
from srat.core.errors import UserError
from srat.core.keyed_random import generator
from srat.core.members import choices
from srat.data import Dataset
from srat.data.holdout import Holdout
from srat.methods import methods
from srat.models import Architecture, wrap
from srat.models.backbones.small_cnn import SmallCNN
from srat.runtime import machine
from srat.runtime.fabric import make_fabric
from srat.runtime.machine import is_out_of_memory
from srat.training import fitting, memory_estimate
from srat.training import loop as trainer
from srat.training.fitting import fit
from srat.training.memory_estimate import Footprint, check_memory, step_bytes
from srat.training.setting_up import set_up
from srat.training.step import train_step


def two_steps(config):
    """Return a run of a shorter attack: from its second step on each takes what the one before it has given back."""
    return replace(config, attack=replace(config.attack, steps=2)) if isinstance(config.attack, PGD) else config


def training(model=None, held_out=False, width=8, **options):
    config = two_steps(replace(compose(method=options.pop("method", "ce"), **options), model=SmallCNN(width=width)))
    data = Dataset(torch.zeros(200, 1, 8, 8, dtype=torch.uint8), torch.arange(200) % 10, tuple("0123456789"))
    return set_up(config, make_fabric("cpu"), data, data if held_out else None, model)


def test_a_footprint_is_the_most_that_lives_at_once():
    with Footprint() as footprint:
        a = torch.zeros(1_000)
        b = a + 1
        del a
        c = b.view(10, 100)
        d = torch.zeros(250)
        del b, c, d
        torch.zeros(500)
    assert (footprint.peak, footprint.live) == (8_000, 0)


def test_a_step_takes_what_can_be_computed_by_hand():
    # One linear layer of 64 → 10 without normalisation worth naming: weights, gradients and momentum are known, and
    # of large batches the images and their perturbed kin are most.
    net = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
    traced = training(wrap(net, mean=[0.0], std=[1.0]))
    one, two = (step_bytes(traced, batch_size=n) for n in (10_000, 20_000))
    image = 64 * 4
    assert 4 * image < (two - one) / 10_000 < 12 * image
    # Whatever the batch, there are the momentum of 650 numbers and, at the peak, other things.
    assert 650 * 4 <= one - (two - one) <= 10 * 650 * 4


def test_best_weights_count_where_an_epoch_is_chosen():
    def of(**options):
        return step_bytes(training(**options), batch_size=4)

    model = sum(tensor.nbytes for tensor in training().module.state_dict().values())
    assert of(held_out=True) - of() == pytest.approx(model, rel=0.01)


def test_the_separation_loss_takes_memory_in_a_line():
    bytes_of = [step_bytes(training(method="srat-ce", width=1), batch_size=n) for n in (1_000, 2_000, 4_000)]
    differences = bytes_of[1] - bytes_of[0], bytes_of[2] - bytes_of[1]
    assert differences[1] < 2.5 * differences[0]  # of a line it would be 2, of a square 4


def test_the_trace_leaves_the_run_as_it_is():
    traced = training()
    before = {name: tensor.clone() for name, tensor in traced.module.state_dict().items()}
    step_bytes(traced, batch_size=8)
    assert all(torch.equal(before[name], tensor) for name, tensor in traced.module.state_dict().items())
    assert not traced.optimizer.state
    assert all(parameter.grad is None for parameter in traced.module.parameters())


def test_refuses_what_cannot_fit_and_says_what_does(monkeypatch):
    traced = training()
    needed = {n: step_bytes(traced, batch_size=n) for n in (64, 128)}
    monkeypatch.setattr(machine, "free_memory", lambda: (needed[64] + needed[128]) // 2)
    with pytest.raises(
        UserError, match=r"a step of `batch_size` 128 needs at least .*B on cpu, there are .*B; `batch"
    ) as e:
        check_memory(traced, notice=print)
    fitting = int(str(e.value).split("`batch_size` ")[2].split()[0])
    assert 64 < fitting < 128
    assert step_bytes(traced, batch_size=fitting) <= machine.free_memory()


def test_not_even_one(monkeypatch):
    monkeypatch.setattr(machine, "free_memory", lambda: 100)
    with pytest.raises(UserError, match="not even the smallest batch would fit"):
        check_memory(training(), notice=print)


def test_a_model_that_cannot_be_traced_is_not_judged(monkeypatch):
    class Curious(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc = nn.Linear(64, 10)

        def forward(self, x):
            return self.fc(x.flatten(1)) * (2.0 if float(x.sum()) > 1e9 else 1.0)

    monkeypatch.setattr(machine, "free_memory", lambda: 100)
    said = []
    check_memory(training(wrap(Curious(), mean=[0.5], std=[0.5])), notice=said.append)
    assert "cannot be estimated" in said[0]


@pytest.mark.parametrize(
    ("method", "model"),
    [
        *((method, "linear") for method in methods()),
        *(("srat-ldam", model) for model in choices(Architecture) if model != "hugging-face"),
    ],
)
def test_what_we_ship_can_be_traced(method, model):
    config = two_steps(of_method(method, model=model))
    data = Dataset(torch.zeros(20, 1, 8, 8, dtype=torch.uint8), torch.arange(20) % 10, tuple("0123456789"))
    assert step_bytes(set_up(config, make_fabric("cpu"), data, None, None), batch_size=2) > 0


def test_out_of_memory_elsewhere_is_told_of(monkeypatch):
    def full(*args, **options):
        raise torch.OutOfMemoryError("CUDA out of memory")

    config = replace(compose(method="ce", epochs=1), model=SmallCNN(width=4))
    with monkeypatch.context() as patch:
        patch.setattr(trainer, "count", full)
        with pytest.raises(UserError, match="out of memory: the evaluation of the held-out part does not fit on cpu"):
            fit(config)
    monkeypatch.setattr(fitting, "set_up", full)
    with pytest.raises(UserError, match="out of memory: the images and the model do not fit on cpu"):
        fit(config)


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
        RuntimeError(
            "[enforce fail at alloc_cpu.cpp:127] err == 0. DefaultCPUAllocator: can't allocate memory: you tried"
        ),
        MemoryError(),
    ],
)
def test_out_of_memory_gives_the_batch_size_that_fits(monkeypatch, tmp_path, error):
    real = trainer.train_step

    def narrow(training, batch, weights, rng):
        if len(batch.labels) > 40:
            raise error
        return real(training, batch, weights, rng)

    monkeypatch.setattr(fitting, "check_memory", lambda *_, **__: None)
    for room in (trainer, memory_estimate):
        monkeypatch.setattr(room, "train_step", narrow)
    config = replace(compose(method="ce", epochs=1), model=SmallCNN(width=4), holdout=Holdout(fraction=0))
    with pytest.raises(UserError, match="out of memory on cpu with `batch_size` 128; `batch_size` 32 fits"):
        fit(config, out=tmp_path)


def test_an_allocation_that_fails_is_recognised():
    with pytest.raises(RuntimeError) as raised:
        torch.empty(1 << 60)
    assert is_out_of_memory(raised.value)
    assert not is_out_of_memory(RuntimeError("mat1 and mat2 shapes cannot be multiplied"))


@pytest.mark.parametrize(("limit", "free"), [("1000", 1000 - (400 - 150)), ("200", 0), ("max", None), (None, None)])
@pytest.mark.parametrize(
    ("line", "folder", "names"),
    [
        ("0::/", "", ("memory.max", "memory.current", "inactive_file")),
        ("0::/a/b", "a", ("memory.max", "memory.current", "inactive_file")),
        ("0::/a/b", "a/b", ("memory.max", "memory.current", "inactive_file")),
        ("5:cpu,memory:/a", "memory/a", ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")),
        ("no such file", "memory", ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")),
    ],
)
def test_the_limit_of_a_container_counts(monkeypatch, tmp_path, limit, free, line, folder, names):
    groups, own = tmp_path / "groups", tmp_path / "own"
    (groups / folder).mkdir(parents=True)
    if ":" in line:
        own.write_text(f"{line}\n")
    if limit is not None:
        for name, text in zip(names, (limit, "400"), strict=False):
            (groups / folder / name).write_text(f"{text}\n")
        # Of what is used, files that were read can be had back.
        (groups / folder / "memory.stat").write_text(f"anon 250\n{names[2]} 150\n")
    monkeypatch.setattr(machine, "_CGROUPS", groups)
    monkeypatch.setattr(machine, "_OWN_CGROUPS", own)
    got = machine.free_memory()
    assert got == free if free is not None else got > 1_000_000


@pytest.mark.gpu
def test_the_trace_is_near_the_truth_on_cuda():
    config = compose(method="srat-ldam", data="cifar10")
    data = Dataset(torch.zeros(200, 3, 32, 32, dtype=torch.uint8), torch.arange(200) % 10, tuple("0123456789"))
    real = set_up(config, make_fabric("cuda"), data, None, None)
    traced = step_bytes(real, batch_size=128)
    weights = sum(tensor.nbytes for tensor in real.module.state_dict().values())
    torch.cuda.reset_peak_memory_stats()
    for _ in range(2):
        rng = partial(generator, 0, device="cuda")
        batch = real.feed.batch(torch.arange(128, device="cuda"), rng("augment"))
        train_step(real, batch, real.stage(0), rng)
    assert 0.7 < (traced + weights) / torch.cuda.max_memory_allocated() < 1.1


def test_memory_that_is_freed_is_kept():
    script = (
        "import resource, sys, torch; from srat.runtime.machine import keep_freed_memory\n"
        "def faults(): return resource.getrusage(resource.RUSAGE_SELF).ru_minflt\n"
        "def step(): torch.cat([torch.ones(1 << 24) for _ in range(2)])\n"  # of 67 MB each: glibc would keep none
        "if sys.argv[1] == 'keep' and not keep_freed_memory(): sys.exit(77)\n"
        "step(); step(); before = faults()\n"
        "for _ in range(3): step()\n"
        "print(faults() - before)\n"
    )
    command = [sys.executable, "-c", script]
    ran = [subprocess.run([*command, word], capture_output=True, text=True) for word in ("keep", "give back")]
    if ran[0].returncode == 77:
        pytest.skip("another C library than glibc")
    kept, usual = (int(each.stdout) for each in ran)
    assert kept < 0.5 * usual
