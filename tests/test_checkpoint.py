"""Checkpoints: all that changes comes back, bit by bit; damage is told of."""

import os

import pytest
import torch
from torch import nn

from srat.checkpoint import State, list_checkpoints, load_checkpoint, read_tensors, save_checkpoint, write_tensors
from srat.errors import UserError
from srat.files import write_atomically


def make():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 2))
    return model, torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)


def step(model, optimizer):
    model(torch.rand(5, 3, generator=torch.Generator().manual_seed(1))).sum().backward()
    optimizer.step()
    optimizer.zero_grad()


def test_everything_comes_back(tmp_path):
    model, optimizer = make()
    step(model, optimizer)
    best = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    state = State(epoch=3, history=[{"epoch": 0, "loss": 0.1 + 0.2}], best_epoch=1, best_score=1 / 3, best_weights=best)
    save_checkpoint(tmp_path / "c", state, model, optimizer)
    other, other_optimizer = make()
    back = load_checkpoint(tmp_path / "c", other, other_optimizer)
    assert (back.epoch, back.history, back.best_epoch, back.best_score) == (3, state.history, 1, 1 / 3)
    assert all(torch.equal(back.best_weights[name], best[name]) for name in best)
    for _ in range(3):
        step(model, optimizer)
        step(other, other_optimizer)
    assert all(torch.equal(a, b) for a, b in zip(model.state_dict().values(), other.state_dict().values(), strict=True))


def test_without_a_checkpoint_a_run_starts_anew(tmp_path):
    assert load_checkpoint(tmp_path, *make()) == State()


def test_the_last_two_are_kept(tmp_path):
    for epoch in range(1, 12):
        save_checkpoint(tmp_path, State(epoch=epoch), *make())
    assert [path.name for path in list_checkpoints(tmp_path)] == ["epoch-00010.safetensors", "epoch-00011.safetensors"]


@pytest.mark.parametrize("content", [b"", b"text", b"\xff" * 64])
def test_refuses_what_is_no_checkpoint(tmp_path, content):
    path = tmp_path / "x.safetensors"
    path.write_bytes(content)
    with pytest.raises(UserError, match="x.safetensors: not a readable file of weights"):
        read_tensors(path)


def test_refuses_a_truncated_one(tmp_path):
    path = tmp_path / "x.safetensors"
    write_tensors(path, {"a": torch.arange(100)}, {"fact": 1})
    whole = path.read_bytes()
    assert read_tensors(path)[1] == {"fact": 1}
    for length in (5, 50, len(whole) - 1):
        path.write_bytes(whole[:length])
        with pytest.raises(UserError, match="truncated"):
            read_tensors(path)


def test_refuses_a_strangers_safetensors(tmp_path):
    from safetensors.torch import save_file

    save_file({"a": torch.zeros(2)}, tmp_path / "x.safetensors")
    with pytest.raises(UserError, match="not a readable file of weights"):
        read_tensors(tmp_path / "x.safetensors")


def test_a_failed_write_leaves_the_old_file_and_no_other(tmp_path, monkeypatch):
    path = tmp_path / "file"
    write_atomically(path, "old")

    def full(handle):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        write_atomically(path, "new")
    assert [p.name for p in tmp_path.iterdir()] == ["file"]
    assert path.read_text() == "old"
