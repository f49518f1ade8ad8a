"""Precisions: what is rounded and what is not, exact resume, and no waiting for the device."""

import contextlib
from dataclasses import replace
from functools import partial

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from srat.config.composition import compose
from srat.core.cadence import Cadence, Every
from srat.core.keyed_random import generator
from srat.core.signals import Interruption
from srat.core.tensor_file import open_tensors
from srat.data import Dataset
from srat.data.augmentation import CropFlip
from srat.data.mixing import CMO
from srat.evaluation import pool, survival
from srat.evaluation.observer import Observer
from srat.feature_losses import Separation
from srat.methods.table import METHODS
from srat.models.backbones.small_cnn import SmallCNN
from srat.runs.folder import RunFolder
from srat.runtime.fabric import Mixed, make_fabric
from srat.runtime.precision import compute_dtype, computes_bf16, rescale_gradient, tensor_float
from srat.training import loop as trainer
from srat.training.checkpoint import State
from srat.training.fitting import fit
from srat.training.keeper import FolderKeeper
from srat.training.setting_up import set_up
from wrapping import Notices


def small(method="srat-ldam", **fields):
    config = compose(method=method, epochs=2, **fields)
    attack = config.attack if method == "natural" else replace(config.attack, steps=2)
    return replace(config, model=SmallCNN(width=4), attack=attack, augmentation=CropFlip(padding=1))


def set_up_for(config, device="cpu"):
    images = torch.rand(64, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    data = Dataset((255 * images).byte(), torch.arange(64) % 10, tuple("0123456789"))
    training = set_up(config, make_fabric(device, config.precision), data, None, None)
    training.model.train()
    return training


def one_step(training, stage=None):
    rng = partial(generator, 0, device=training.fabric.device)
    batch = training.feed.batch(torch.arange(32, device=training.fabric.device), rng("augment"))
    return trainer.train_step(training, batch, stage or training.stage(training.config.epochs - 1), rng)


class Watched(TorchDispatchMode):
    """Notes every operation by its name."""

    def __init__(self):
        super().__init__()
        self.seen = set()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.seen.add(func.overloadpacket.__name__)
        return func(*args, **(kwargs or {}))


WAITING = {"_local_scalar_dense", "nonzero", "masked_select", "equal", "is_nonzero", "item", "_unique2"}


@pytest.mark.parametrize(("method", "precision"), [*((m, "fp32") for m in METHODS), ("ce", "bf16"), ("ce", "fp16")])
def test_a_step_reads_nothing_back_from_the_device(method, precision):
    training = set_up_for(replace(small(method), precision=precision))
    stage = training.stage(training.config.epochs - 1)  # once an epoch
    with Watched() as watched:
        one_step(training, stage)
    assert not watched.seen & WAITING
    assert "convolution" in watched.seen
    with watched:
        float(torch.ones(1))
    assert watched.seen & WAITING


@pytest.mark.parametrize("mixing", ["mixup", "cutmix", CMO(probability=1.0)], ids=["mixup", "cutmix", "cmo"])
def test_neither_does_one_of_mixed_images(mixing):
    training = set_up_for(small("cb-reweight", mixing=mixing, robust_loss="mart", budget="cfa"))
    batch = training.feed.batch(torch.arange(32), generator(0, "augment"))
    stage = training.stage(training.config.epochs - 1)
    with Watched() as watched:
        trainer.train_step(training, batch, stage, partial(generator, 0))
    assert not watched.seen & WAITING
    assert batch.targets.partners is not None


@pytest.mark.gpu
@pytest.mark.parametrize(
    ("precision", "mixing"),
    [*((p, "none") for p in ("fp32", "tf32", "bf16", "fp16")), ("fp32", "cutmix"), ("fp16", "mixup")],
)
def test_a_step_never_waits_for_the_gpu(precision, mixing):
    method = "srat-ldam" if mixing == "none" else "cb-reweight"
    training = set_up_for(replace(small(method, mixing=mixing), precision=precision), device="cuda")
    one_step(training)
    stage = training.stage(training.config.epochs - 1)
    torch.cuda.set_sync_debug_mode("error")
    try:
        one_step(training, stage)
    finally:
        torch.cuda.set_sync_debug_mode("default")


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_half_precision_is_where_it_belongs(precision):
    training = set_up_for(replace(small(), precision=precision))
    seen = {"normalization": [], "update": [], "attack": []}

    def note(name):
        return lambda module, inputs, output: seen[name].append((inputs[0].dtype, output.dtype))

    training.module.normalization.register_forward_hook(note("normalization"))
    training.module.backbone[0].register_forward_hook(note("update"))
    training.folding._folded[0].register_forward_hook(note("attack"))
    sums = one_step(training)
    half = compute_dtype(precision)
    # The images and their normalisation stay in fp32: rounded, they would not be those that were attacked.
    assert {dtype for pair in seen["normalization"] for dtype in pair} == {torch.float32}
    assert [len(seen[name]) for name in ("attack", "update")] == [2, 1]
    assert {output for _, output in seen["update"] + seen["attack"]} == {half}
    assert sums.isfinite().all()
    assert {parameter.dtype for parameter in training.module.parameters()} == {torch.float32}
    momenta = [state["momentum_buffer"] for state in training.optimizer.state.values()]
    assert {momentum.dtype for momentum in momenta} == {torch.float32}


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_a_step_is_that_of_fp32_but_for_rounding(precision):
    changes = []
    for name in ("fp32", precision):
        # Without an attack, whose sign steps make whole pixels of a rounding.
        training = set_up_for(replace(small("natural"), feature_loss=Separation(), precision=name))
        before = torch.cat([p.detach().flatten().clone() for p in training.module.parameters()])
        one_step(training)
        changes.append(torch.cat([p.detach().flatten() for p in training.module.parameters()]) - before)
    exact, rounded = changes
    assert (exact - rounded).norm() < 0.1 * exact.norm()
    assert not torch.equal(exact, rounded)


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_a_run_repeats_itself_and_resumes_exactly(precision, tmp_path):
    config = replace(small(), precision=precision)
    for name in ("one", "other"):
        fit(config, out=tmp_path / name, checkpoint_every="3")
    (tmp_path / "other" / "model.safetensors").unlink()
    fit(config, out=tmp_path / "other")
    one, other = (open_tensors(tmp_path / name / "model.safetensors").tensors() for name in ("one", "other"))
    assert all(torch.equal(one[name], other[name]) for name in one)
    # The scale of fp16's gradients belongs to the state.
    newest = max((tmp_path / "one" / "checkpoints").glob("*.safetensors"))
    assert bool(open_tensors(newest).facts["scaler"]) == (precision == "fp16")


def test_a_run_goes_on_with_the_scale_that_it_had(tmp_path):
    scales = []
    for scale in (8.0, None):
        training = set_up_for(replace(small(), precision="fp16"))
        options = {"cadence": Cadence(Every.parse("100")), "on_divergence": "stop", "interruption": Interruption()}
        keeper = FolderKeeper(training, folder=RunFolder(tmp_path), observer=Observer(), **options)
        one_step(training)
        scaler = training.fabric.strategy.precision.scaler
        if scale:
            scaler._scale.fill_(scale)
            keeper.save(State())
        keeper.restore()
        scales.append(scaler.get_scale())
    assert scales == [8.0, 8.0]


@pytest.mark.parametrize("steps", [0, 1])
def test_a_step_that_overflows_in_fp16_is_left_out_and_no_divergence(steps):
    training = set_up_for(replace(small(), precision="fp16"))
    scaler = training.fabric.strategy.precision.scaler
    scaler._lazy_init_scale_growth_tracker(torch.device("cpu"))
    for _ in range(steps):
        one_step(training)
    scaler._scale.fill_(2.0**60)
    before = [p.detach().clone() for p in training.module.parameters()]
    sums = one_step(training)
    assert sums.isfinite().all()
    assert all(torch.equal(a, b) for a, b in zip(before, training.module.parameters(), strict=True))
    assert scaler.get_scale() == 2.0**59
    momenta = [state["momentum_buffer"] for state in training.optimizer.state.values()]
    assert all(momentum.isfinite().all() for momentum in momenta)
    assert all((momentum == 0).all() for momentum in momenta) == (steps == 0)


def test_rescaling_keeps_the_direction_of_each_gradient():
    logits = torch.randn(5, 4, generator=torch.Generator().manual_seed(0)).requires_grad_()
    weights = torch.tensor([1.0, 1e-9, 1e-25, 0.0, 3.0])

    def gradient(seen):
        return torch.autograd.grad((seen.softmax(1)[:, 0] * weights).sum(), logits)[0]

    rescaled, plain = gradient(rescale_gradient(logits)), gradient(logits)
    torch.testing.assert_close(rescaled.abs().amax(1), torch.tensor([64.0, 64.0, 64.0, 0.0, 64.0]))
    torch.testing.assert_close(rescaled, 64 * plain / plain.abs().amax(1, keepdim=True).clamp(min=1e-37))
    with torch.no_grad():
        assert rescale_gradient(logits.detach()).grad_fn is None


def test_images_are_not_rounded_on_their_way_into_the_model():
    images = torch.rand(2, 3, 4, 4)
    assert Mixed("bf16-mixed", "cpu").convert_input(images) is images


def allowed():
    return torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32


@pytest.mark.parametrize("wanted", [True, False])
def test_tf32_is_as_it_was_afterwards(wanted):
    before, within = allowed(), []
    with contextlib.suppress(ZeroDivisionError), tensor_float(wanted):
        within.append(allowed())
        raise ZeroDivisionError
    assert within == [(wanted, wanted)]
    assert allowed() == before


@pytest.mark.parametrize(("precision", "wanted"), [("fp32", False), ("tf32", True), ("bf16", False)])
def test_tf32_is_for_the_training_alone(precision, wanted, monkeypatch):
    seen = {"train_step": set(), "right": set()}

    def note(module, name):
        real = getattr(module, name)
        monkeypatch.setattr(module, name, lambda *args: seen[name].add(allowed()) or real(*args))

    note(trainer, "train_step")
    note(survival, "right")
    note(pool, "right")
    fit(replace(small(), precision=precision))
    assert seen == {"train_step": {(wanted, wanted)}, "right": {(False, False)}}


class TestSlowBf16:
    """A CPU without the instructions takes many times as long, and must not do so in silence."""

    @pytest.mark.parametrize(
        ("said", "computes"),
        [
            ({"avx2": True, "avx512_bf16": False, "amx_bf16": False}, False),
            ({"avx512_f": True, "avx512_bf16": True, "amx_bf16": False}, True),
            ({"neon": True, "bf16": False, "sve_bf16": True}, True),
            ({"neon": True, "bf16": False}, False),
            ({"architecture": "ppc64"}, True),
            ({}, True),
        ],
    )
    def test_is_known_by_what_pytorch_says_of_the_cpu(self, said, computes, monkeypatch):
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: said, raising=False)
        assert computes_bf16(torch.device("cpu")) == computes
        assert computes_bf16(torch.device("cuda"))

    def test_is_not_guessed_at_with_a_pytorch_that_says_nothing(self, monkeypatch):
        monkeypatch.delattr(torch.cpu, "get_capabilities", raising=False)
        assert computes_bf16(torch.device("cpu"))

    @pytest.mark.parametrize(
        ("precision", "computes", "lines"), [("bf16", False, 1), ("bf16", True, 0), ("fp32", False, 0)]
    )
    def test_is_told_before_the_training(self, precision, computes, lines, monkeypatch):
        class BegunError(Exception):
            """Before the first step."""

        def begins(*_, **__):
            raise BegunError

        monkeypatch.setattr("srat.training.notes.computes_bf16", lambda _: computes)
        monkeypatch.setattr("srat.training.fitting.check_memory", begins)
        told = Notices()
        with pytest.raises(BegunError):
            fit(small(precision=precision), device="cpu", observer=told)
        assert sum("fp32 is faster here" in line for line in told.said) == lines
