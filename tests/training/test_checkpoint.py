"""Checkpoints: all that changes comes back, bit by bit; any damage is told of, and the one before is used."""

import itertools
import json
import os
import random
import shutil
from dataclasses import dataclass

import pytest
import torch
from safetensors import safe_open
from torch import nn

from srat.core.errors import UserError
from srat.core.files import write_atomically
from srat.core.tensor_file import DamagedError, TensorFile, open_tensors, write_tensors
from srat.optimization.optimizers import SGD, AdamW, Optimizer
from srat.runs.metrics import no_sums
from srat.training.checkpoint import Moving, State, list_checkpoints, load_checkpoint, save_checkpoint
from srat.training.slots import slots_of


def make():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(4 * 36, 2))
    model.to(memory_format=torch.channels_last)
    return model, torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9), nn.ModuleDict()


def step(model, optimizer):
    model(torch.rand(5, 3, 8, 8, generator=torch.Generator().manual_seed(1))).sum().backward()
    optimizer.step()
    optimizer.zero_grad()


def load(folder, model, optimizer, parts=None):
    said = []
    state = load_checkpoint(
        folder,
        Moving(model, optimizer, parts or nn.ModuleDict(), SGD()),
        run="a",
        notice=said.append,
    )
    return state, said


def row(epoch):
    return {"epoch": epoch, "loss": 0.1 + 0.2}


class TestRoundTrip:
    def test_everything_comes_back(self, tmp_path):
        model, optimizer, parts = make()
        step(model, optimizer)
        best = {name: tensor.clone() for name, tensor in model.state_dict().items()}
        state = State(
            epoch=1,
            step=7,
            sums=no_sums() + 1 / 3,
            rate_factor=0.5,
            seconds=12.5,
            history=[row(0)],
            best_epoch=0,
            best_score=1 / 3,
            best_weights=best,
        )
        save_checkpoint(tmp_path / "c", state, Moving(model, optimizer, parts, None), run="a")
        other, other_optimizer, _ = make()
        back, said = load(tmp_path / "c", other, other_optimizer)
        assert said == []
        for name in ("epoch", "step", "rate_factor", "seconds", "history", "best_epoch", "best_score"):
            assert getattr(back, name) == getattr(state, name)
        assert torch.equal(back.sums, state.sums)
        assert all(torch.equal(back.best_weights[name], best[name]) for name in best)
        for _ in range(3):
            step(model, optimizer)
            step(other, other_optimizer)
        pairs = zip(model.state_dict().values(), other.state_dict().values(), strict=True)
        assert all(torch.equal(a, b) for a, b in pairs)

    def test_the_optimisers_tensors_keep_their_layout(self, tmp_path):
        model, optimizer, parts = make()
        step(model, optimizer)
        save_checkpoint(tmp_path, State(), Moving(model, optimizer, parts, None), run="a")
        other, other_optimizer, _ = make()
        load(tmp_path, other, other_optimizer)
        for one, two in zip(optimizer.state.values(), other_optimizer.state.values(), strict=True):
            assert one["momentum_buffer"].stride() == two["momentum_buffer"].stride()

    def test_without_a_checkpoint_there_is_no_state(self, tmp_path):
        assert load(tmp_path, *make()) == (None, [])

    def test_the_last_two_are_kept(self, tmp_path):
        for position in range(8, 12):
            save_checkpoint(tmp_path, State(step=position), Moving(*make(), None), run="a")
        save_checkpoint(tmp_path, State(epoch=1), Moving(*make(), None), run="a")
        names = [path.name for path in list_checkpoints(tmp_path)]
        assert names == ["epoch-000000-step-0000011.safetensors", "epoch-000001-step-0000000.safetensors"]

    def test_the_same_tensors_make_the_same_bytes(self, tmp_path):
        facts = {name: name for name in "hgfedcba"}
        for name in ("one", "two"):
            write_tensors(tmp_path / name, make()[0].state_dict(), facts)
        assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()

    def test_tied_weights_are_written_twice(self, tmp_path):
        shared = torch.arange(4.0)
        write_tensors(tmp_path / "x", {"a": shared, "b": shared}, {})
        assert torch.equal(open_tensors(tmp_path / "x").tensors()["b"], shared)

    def test_any_reader_of_safetensors_can_read_it(self, tmp_path):
        write_tensors(tmp_path / "x", {"a": torch.arange(3)}, {"names": ["ä", '"sha256": "' + "1" * 64 + '"']})
        with safe_open(tmp_path / "x", framework="pt") as file:
            assert torch.equal(file.get_tensor("a"), torch.arange(3))
            assert json.loads(file.metadata()["names"])[0] == "ä"
        assert open_tensors(tmp_path / "x").facts["names"][0] == "ä"


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    """A folder with two small checkpoints."""
    folder = tmp_path_factory.mktemp("two")
    model = nn.Linear(3, 2)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    for position in (1, 2):
        model(torch.ones(1, 3)).sum().backward()
        optimizer.step()
        save_checkpoint(folder, State(step=position), Moving(model, optimizer, nn.ModuleDict(), None), run="a")
    return folder


class TestDamage:
    """Whatever happens to the newest checkpoint, it is found out, named, and the one before is used."""

    @pytest.fixture
    def damaged(self, two, tmp_path):
        folder = shutil.copytree(two, tmp_path / "copy")
        newest = list_checkpoints(folder)[-1]
        whole, times = newest.read_bytes(), itertools.count()

        def check(content):
            newest.write_bytes(content)
            with pytest.raises(DamagedError, match=newest.name):
                open_tensors(newest)
            if next(times) % 10:  # what follows is the same wherever the damage is
                return
            model = nn.Linear(3, 2)
            optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
            state, said = load(folder, model, optimizer)
            assert state.step == 1
            assert len(said) == 1
            assert said[0].startswith(f"{newest}: not a readable file of tensors, or damaged")
            assert said[0].endswith("going on from the one before it, epoch-000000-step-0000001.safetensors")
            assert "\n" not in said[0]
            newest.with_suffix(".damaged").unlink()

        return whole, check

    def test_every_byte_of_the_header(self, damaged):
        whole, check = damaged
        header = 8 + int.from_bytes(whole[:8], "little")
        draw = random.Random(0)
        for position in range(header):
            changed = bytearray(whole)
            changed[position] ^= draw.randrange(1, 256)
            check(bytes(changed))

    def test_bytes_of_the_body(self, damaged):
        whole, check = damaged
        start = 8 + int.from_bytes(whole[:8], "little")
        draw = random.Random(1)
        for _ in range(1_000):
            changed = bytearray(whole)
            changed[draw.randrange(start, len(whole))] ^= draw.randrange(1, 256)
            check(bytes(changed))

    def test_every_point_of_truncation(self, damaged):
        whole, check = damaged
        for length in range(len(whole)):
            check(whole[:length])

    def test_bytes_put_in_or_left_out(self, damaged):
        whole, check = damaged
        draw = random.Random(2)
        for _ in range(200):
            at = draw.randrange(len(whole))
            check(whole[:at] + draw.randbytes(draw.randrange(1, 20)) + whole[at:])
            check(whole[:at] + whole[at + 1 :])
        check(whole + b"\0")

    def test_with_all_damaged_the_run_does_not_start_anew_unasked(self, two, tmp_path):
        folder = shutil.copytree(two, tmp_path / "copy")
        for path in list_checkpoints(folder):
            path.write_bytes(b"")
        with pytest.raises(UserError, match="every checkpoint is damaged .* remove them to start anew"):
            load(folder, *make())
        assert len(list_checkpoints(folder)) == 2

    def test_a_disk_that_fails_is_no_damage(self, two, monkeypatch):
        def fail(path):
            raise OSError(5, "Input/output error")

        monkeypatch.setattr("srat.core.tensor_file._digest", fail)
        with pytest.raises(UserError, match="cannot be read .Input/output error") as raised:
            load(two, *make())
        assert type(raised.value) is UserError
        assert len(list_checkpoints(two)) == 2

    def test_one_of_another_model_is_no_damage(self, two):
        with pytest.raises(UserError, match="not a checkpoint of this run, or of another version"):
            load(two, *make())


FACTS = {
    "run": "a",
    "epoch": 0,
    "step": 0,
    "rate_factor": 1.0,
    "seconds": 0.0,
    "history": [],
    "best_epoch": None,
    "best_score": -1.0,
}


class TestStrangers:
    """Files with a true checksum, which anyone can compute, and contents of malice."""

    @staticmethod
    def tensors():
        model, *_ = make()
        return {f"model.{name}": tensor for name, tensor in model.state_dict().items()} | {"sums": no_sums()}

    def test_this_fixture_is_readable(self, tmp_path):
        write_tensors(tmp_path / "epoch-1.safetensors", self.tensors(), FACTS)
        assert load(tmp_path, *make())[0].epoch == 0

    @pytest.mark.parametrize(
        "change",
        [
            {"run": "b"},
            {"run": None},
            {"best_epoch": 0},
            {"epoch": -1},
            {"epoch": "1"},
            {"epoch": True},
            {"step": 1.5},
            {"epoch": 3},
            {"history": [1]},
            {"history": [{"a": "<b>"}], "epoch": 1},
            {"history": {}},
            {"rate_factor": 0.0},
            {"rate_factor": float("nan")},
            {"history": [{"a": 1}, {"b": 1}], "epoch": 2},
            {"rate_factor": "x"},
            {"rate_factor": None},
            {"best_epoch": []},
            {"best_score": "0"},
            {"unknown": 1},
            {"best_weights": {}},
        ],
    )
    def test_refuses_facts_that_are_none(self, tmp_path, change):
        write_tensors(tmp_path / "epoch-1.safetensors", self.tensors(), {**FACTS, **change})
        with pytest.raises(UserError, match=r"epoch-1.safetensors: not a checkpoint of this run"):
            load(tmp_path, *make())

    @pytest.mark.parametrize(
        "tensors",
        [
            {"sums": torch.zeros(3)},
            {"sums": no_sums().long()},
            {"optimizer.0.momentum_buffer": torch.zeros(1)},
            {"optimizer.99.momentum_buffer": torch.zeros(1)},
            {"optimizer.-1.momentum_buffer": torch.zeros(2)},
            {"optimizer.x": torch.zeros(2)},
            {"model.3.bias": torch.zeros(5)},
            {"model.more": torch.zeros(5)},
            {"best.more": torch.zeros(5)},
            {"more": torch.zeros(5)},
        ],
    )
    def test_refuses_tensors_that_do_not_fit(self, tmp_path, tensors):
        write_tensors(tmp_path / "epoch-1.safetensors", self.tensors() | tensors, FACTS)
        with pytest.raises(UserError, match=r"epoch-1.safetensors: not a checkpoint of this run"):
            load(tmp_path, *make())

    def test_is_not_read_before_it_is_known_to_fit(self, tmp_path, monkeypatch):
        monkeypatch.setattr(TensorFile, "tensors", None)
        huge = {"model.0.weight": torch.zeros(1_000)}
        write_tensors(tmp_path / "epoch-1.safetensors", self.tensors() | huge, FACTS)
        with pytest.raises(UserError, match="its model is another"):
            load(tmp_path, *make())

    def test_refuses_safetensors_without_a_checksum(self, tmp_path):
        from safetensors.torch import save_file

        save_file({"a": torch.zeros(2)}, tmp_path / "x.safetensors")
        with pytest.raises(DamagedError, match="no checksum in its header"):
            open_tensors(tmp_path / "x.safetensors")

    @pytest.mark.parametrize("content", [b"", b"text", b"\xff" * 64, b"\0" * 64, b"\x08" + b"\0" * 20])
    def test_refuses_what_is_no_checkpoint(self, tmp_path, content):
        path = tmp_path / "x.safetensors"
        path.write_bytes(content)
        with pytest.raises(DamagedError, match="x.safetensors: not a readable file of tensors"):
            open_tensors(path)

    @pytest.mark.parametrize("kind", ["missing", "folder", "fifo"])
    def test_refuses_what_is_no_file(self, tmp_path, kind):
        path = tmp_path / "x"
        if kind == "folder":
            path.mkdir()
        if kind == "fifo":
            os.mkfifo(path)
        with pytest.raises(DamagedError):
            open_tensors(path)


def test_a_failed_write_leaves_the_old_file_and_no_other(tmp_path, monkeypatch):
    path = tmp_path / "file"
    write_atomically(path, "old")

    def full(handle):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space") as raised:
        write_atomically(path, "new")
    assert raised.value.filename == str(path)
    assert [p.name for p in tmp_path.iterdir()] == ["file"]
    assert path.read_text() == "old"


@dataclass(frozen=True, kw_only=True)
class NAdam(Optimizer):
    """Of an installed package: beside its moments it keeps a count and a product, of no dimension."""

    learning_rate: float = 0.01

    def make(self, parameters, *, scaled=False):
        return torch.optim.NAdam(parameters, lr=self.learning_rate)


@dataclass(frozen=True, kw_only=True)
class Adafactor(Optimizer):
    """Keeps rows and columns of a matrix."""

    learning_rate: float = 0.01

    def make(self, parameters, *, scaled=False):
        return torch.optim.Adafactor(parameters, lr=self.learning_rate)


class Curious(SGD):
    """Looks at its numbers, so that it cannot be tried without them."""

    def make(self, parameters, *, scaled=False):
        parameters = list(parameters)
        assert float(parameters[0].sum()) != 0.5
        return super().make(parameters, scaled=scaled)


class TestSlots:
    """What optimisers keep of parameters, in checkpoints."""

    KINDS = (SGD(), SGD(momentum=0.0), AdamW(), NAdam(), Adafactor())

    def made(self, kind, steps=0):
        model = make()[0]
        optimizer = kind.make(model.parameters())
        for _ in range(steps):
            step(model, optimizer)
        return Moving(model, optimizer, nn.ModuleDict(), kind)

    def written(self, kind, folder, change=lambda tensors: None):
        moving = self.made(kind, steps=2)
        save_checkpoint(folder, State(), moving, run="a")
        (path,) = list_checkpoints(folder)
        file = open_tensors(path)
        tensors = {name: tensor.clone() for name, tensor in file.tensors().items()}
        change(tensors)
        write_tensors(path, tensors, file.facts)
        return moving

    @pytest.mark.parametrize("kind", KINDS)
    def test_every_optimiser_goes_on_as_if_it_had_not_stopped(self, tmp_path, kind):
        whole, other = self.written(kind, tmp_path), self.made(kind)
        load_checkpoint(tmp_path, other, run="a", notice=print)
        for model, optimizer, *_ in (whole, other):
            step(model, optimizer)
        for one, two in zip(whole.model.parameters(), other.model.parameters(), strict=True):
            assert torch.equal(one, two)

    @pytest.mark.parametrize("kind", KINDS[:-1])  # Adafactor looks at its numbers
    def test_what_it_keeps_is_known_beforehand(self, kind):
        moving = self.made(kind, steps=1)
        state = moving.optimizer.state_dict()["state"]
        there = {i: {n: tuple(v.shape) for n, v in own.items() if v is not None} for i, own in state.items()}
        assert slots_of(kind, moving.model) == {index: own for index, own in there.items() if own}

    @pytest.mark.parametrize(
        "change",
        [
            lambda tensors: tensors.pop("optimizer.0.exp_avg"),
            lambda tensors: tensors.update({"optimizer.0.foo": torch.zeros(4, 3, 3, 3)}),
            lambda tensors: tensors.update({"optimizer.0.exp_avg": torch.zeros(())}),
            lambda tensors: tensors.update({"optimizer.0.step": torch.tensor(-1.0)}),
            lambda tensors: tensors.update({"optimizer.0.step": torch.tensor(torch.nan)}),
            lambda tensors: tensors["optimizer.0.exp_avg"].fill_(torch.inf),
        ],
    )
    def test_refuses_what_it_would_not_keep(self, tmp_path, change):
        self.written(AdamW(), tmp_path, change)
        with pytest.raises(UserError, match=r"not a checkpoint of this run.*optimizer\.0"):
            load_checkpoint(tmp_path, self.made(AdamW()), run="a", notice=print)

    def test_where_that_is_not_known_it_is_bounded_by_the_parameters(self, tmp_path):
        assert slots_of(Curious(), make()[0]) is None
        large = {"optimizer.0.momentum_buffer": torch.zeros(1_000)}
        self.written(Curious(), tmp_path, lambda tensors: tensors.update(large))
        with pytest.raises(UserError, match=r"optimizer\.0: other slots"):
            load_checkpoint(tmp_path, self.made(Curious()), run="a", notice=print)
