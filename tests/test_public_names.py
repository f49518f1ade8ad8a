"""Every public name, given what nobody can mean: it is understood, or refused in a line, and never breaks."""

import dataclasses
import importlib
import math
import pkgutil
import types
from contextlib import AbstractContextManager
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import srat
from srat import attacks, data, feature_losses, losses, models, regularizers, robust_losses, theory, weightings
from srat.attacks import PGD, Natural
from srat.core.checked import Checked
from srat.core.errors import UserError
from srat.data.imbalance import Explicit, Step
from srat.data.sources.arrays import Arrays
from srat.data.sources.digits import Digits
from srat.evaluation import feature_map, separability
from srat.evaluation.counts import Counts
from srat.evaluation.evaluate import count, evaluate, examine
from srat.evaluation.groups import groups
from srat.evaluation.journal import FileJournal
from srat.evaluation.record import Evaluation, describe_attack, summary
from srat.evaluation.serving import lent_exactly
from srat.methods import objective
from srat.models.heads import LinearHead
from srat.optimization.schedules import base as schedules
from srat.statistics import anytime, intervals, paired, worst

LABELS, LOGITS, IMAGES = torch.tensor([0, 1, 0, 1]), torch.ones(4, 3), torch.full((4, 1, 5, 5), 0.5)
NET = nn.Sequential(nn.Flatten(), nn.Linear(25, 3))
DATA = data.Dataset(IMAGES, LABELS, ("a", "b"))
RNG, ONE = torch.Generator(), torch.ones(1)
SURVIVED, SUM = np.array([[True, False, True]] * 2), intervals.Sum(0.5, 0.4, 0.6)
FEATURES, CLASSES = np.arange(66.0).reshape(22, 3), np.arange(22) % 2
GROUPS, COUNTS = groups([3, 2]), Counts(correct=(1, 1), total=(2, 2))
NO_RUN = "/there/is/no/run"
NOWHERE = srat.Config(data=Arrays(dir="/there/is/no/such.npz"))


def loss_at(images):
    return images.flatten(1).sum(1)


def silent(text):
    del text


ADJUSTED = {"logits": LOGITS, "labels": LABELS, "class_counts": [3, 2, 1], "smoothing": 0.1}
UNKEPT = Evaluation(class_names=("a", "b"), train_counts=(1, 1))
CALLS = {
    losses.cross_entropy: {"logits": LOGITS, "labels": LABELS, "smoothing": 0.1},
    losses.focal: {"logits": LOGITS, "labels": LABELS, "gamma": 1.0},
    losses.ldam: {"logits": LOGITS, "labels": LABELS, "class_counts": [3, 2, 1], "max_margin": 0.5, "scale": 30.0}
    | {"smoothing": 0.1},
    losses.balanced_softmax: ADJUSTED | {"tau": 1.0},
    losses.logit_adjustment: ADJUSTED | {"tau": 1.0},
    losses.cdt: ADJUSTED | {"gamma": 0.3},
    losses.vector_scaling: ADJUSTED | {"gamma": 0.3, "tau": 1.0},
    losses.robal: ADJUSTED | {"min_margin": 0.1, "scale": 10.0, "tau_b": 1.5, "tau_m": 0.3},
    losses.robal_margins: {"class_counts": [3, 2, 1], "min_margin": 0.1, "scale": 10.0, "tau_m": 0.3},
    losses.harl: {"logits": LOGITS, "labels": LABELS, "alpha": 0.1, "beta": 0.1, "gamma": 0.1}
    | {"floored": True, "absent_as_zero": False},
    losses.ldam_margins: {"class_counts": [3, 2, 1], "max_margin": 0.5},
    weightings.effective_number: {"class_counts": [3, 2], "beta": 0.9},
    weightings.inverse_frequency: {"class_counts": [3, 2], "power": 1.0},
    weightings.uniform: {"class_counts": [3, 2]},
    weightings.EffectiveNumber(scale="majority_one").weights: {"class_counts": [3, 2]},
    weightings.Fixed(values=(1, 2)).weights: {"class_counts": [3, 2]},
    feature_losses.has_positive: {"labels": LABELS},
    feature_losses.separation: {"features": LOGITS, "labels": LABELS, "temperature": 0.1, "normalize": True},
    feature_losses.tail_alignment: {"features": LOGITS, "labels": LABELS, "class_counts": [3, 2], "reduction": "reat"},
    feature_losses.in_tail: {"class_counts": [3, 2]},
    regularizers.simplex_deviation: {"vectors": LOGITS},
    robust_losses.kl_divergence: {"reference": LOGITS, "logits": LOGITS},
    robust_losses.teacher_divergence: {"teacher": LOGITS, "logits": LOGITS, "temperature": 1.0},
    robust_losses.uncertain_divergence: {"clean": LOGITS, "logits": LOGITS, "labels": LABELS},
    robust_losses.wrong_class_loss: {"logits": LOGITS, "labels": LABELS},
    attacks.input_gradient: {"loss_at": loss_at, "images": IMAGES},
    attacks.margin: {"logits": LOGITS, "labels": LABELS},
    attacks.pgd_step: {"adversarial": IMAGES, "gradient": IMAGES, "images": IMAGES, "norm": "l2", "epsilon": 0.1}
    | {"step_size": 0.1},
    attacks.project_l2: {"images": IMAGES, "center": IMAGES, "epsilon": 0.1},
    attacks.project_linf: {"images": IMAGES, "center": IMAGES, "epsilon": 0.1},
    attacks.started: {"images": IMAGES, "noise": IMAGES},
    attacks.tell_doubts: {"attacks": (PGD(norm="l2"),), "shape": (1, 5, 5), "tell": silent},
    attacks.within: {"images": IMAGES, "center": IMAGES, "norm": "l2", "epsilon": 0.1, "tolerance": 1e-6},
    attacks.without_smallest: {"gradient": IMAGES, "share": 0.5},
    PGD(steps=1): {"loss_at": loss_at, "images": IMAGES, "generator": RNG},
    Natural(): {"loss_at": loss_at, "images": IMAGES, "generator": RNG},
    data.check_images: {"images": IMAGES},
    data.exponential_counts: {"class_counts": [9, 9], "ratio": 2.0},
    data.step_counts: {"class_counts": [9, 9], "ratio": 2.0},
    data.prepare: {"source": Digits(), "imbalance": Step(), "holdout": data.Holdout(), "seed": 0},
    data.read_split: {"path": "/there/is/no/split.npz"},
    data.write_split: {"path": "/there/is/no/split.npz", "indices": LABELS[:2], "labels": LABELS},
    data.select: {"labels": LABELS, "counts": [1, 1], "seed": 0},
    data.to_unit: {"images": IMAGES},
    data.Dataset: {"images": IMAGES, "labels": LABELS, "class_names": ("a", "b")},
    DATA.subset: {"indices": [0]},
    DATA.sample: {"images": 2},
    DATA.with_classes: {"labels": (0, 1)},
    DATA.to: {"device": "cpu"},
    data.Holdout().split: {"labels": LABELS, "seed": 0},
    Step().counts: {"class_counts": [90, 90], "seed": 0},
    Explicit(keep=(1, 1)).counts: {"class_counts": [90, 90], "seed": 0},
    models.build: {"architecture": srat.Config().model, "head": LinearHead(), "classes": 3, "mean": ONE, "std": ONE}
    | {"shape": models.ImageShape(channels=1, height=8, width=8), "projection": 0, "seed": 0}
    | {"class_counts": [3, 2, 1]},
    models.lent: {"model": NET, "mode": "eval"},
    models.channel_statistics: {"parts": [IMAGES]},
    models.first_logits: {"model": NET, "images": IMAGES},
    models.wrap: {"module": NET, "mean": [0.5], "std": [0.5], "head": None, "output": None},
    models.CosineLinear: {"dimensions": 3, "classes": 2, "scale": 30.0, "gamma": 0.1},
    models.Normalization: {"mean": ONE, "std": ONE},
    models.Classifier: {"normalization": models.Normalization(ONE, ONE), "backbone": NET, "head": NET}
    | {"projection": NET},
    models.ImageShape: {"channels": 1, "height": 8, "width": 8},
    evaluate: {"model": NET, "images": IMAGES, "labels": LABELS, "attack": None, "batch_size": 4, "seed": 0}
    | {"draws": 2},
    examine: {"model": NET, "dataset": DATA, "attack": PGD(steps=1), "seed": 0, "batch_size": 2},
    count: {"model": NET, "dataset": DATA, "attack": PGD(steps=1), "seed": 0},
    describe_attack: {"attack": PGD(), "classes": 3},
    groups: {"train_counts": [3, 2]},
    lent_exactly: {"model": NET},
    summary: {"counts": COUNTS, "groups": GROUPS},
    intervals.wilson: {"correct": 1, "total": 2, "z": 1.96},
    FileJournal: {"folder": Path("/tmp"), "name": "x", "rank": 0, "identity": {}, "images": 3} | {"notice": silent},
    Evaluation.read: {"path": "/there/is/no/evaluation.json"},
    intervals.crossed_variances: {"values": SURVIVED.astype(float)},
    intervals.mean_over_seeds: {"survived": SURVIVED},
    intervals.mean_of_counts: {"correct": [1, 2], "total": 5},
    intervals.weighted_sum: {"factors": [1.0], "parts": [SUM]},
    intervals.sum_of_counts: {"factors": [1.0, -1.0], "correct": [[1, 2], [2, 3]], "totals": [5, 5], "p": 0.05},
    intervals.mean_of_estimates: {"estimates": [SUM, SUM], "p": 0.05},
    intervals.t95: {"degrees": 2},
    worst.worst_of: {"correct": [1, 2], "totals": [2, 3]},
    anytime.anytime_interval: {"correct": 1, "total": 2, "alpha": 0.05},
    anytime.anytime_worst: {"correct": [1, 2], "totals": [2, 3]},
    paired.mcnemar: {"only_first": 2, "only_second": 3},
    paired.score_interval: {"only_first": 2, "only_second": 3, "images": 10, "z": 1.96},
    paired.paired_difference: {"first": SURVIVED, "second": SURVIVED},
    paired.holm: {"ps": [0.1, 0.2]},
    separability.separability: {"features": FEATURES, "labels": CLASSES, "class_names": ("a", "b"), "groups": GROUPS}
    | {"seed": 0},
    separability.silhouettes: {"features": FEATURES, "labels": CLASSES},
    separability.purities: {"features": FEATURES, "labels": CLASSES, "neighbours": 10},
    separability.features_of: {"model": models.wrap(NET, mean=[0.5], std=[0.5]), "dataset": DATA, "attack": Natural()}
    | {"seed": 0},
    separability.require_enough: {"available": [20, 20], "images": 22},
    feature_map.on_a_plane: {"features": FEATURES, "seed": "x"},
    srat.compose: {"base": None, "method": "ce", "norm": "linf", "epsilon": 0.1, "step_size": 0.1, "ratio": 2.0}
    | dict.fromkeys(("data_dir", "data", "imbalance", "loss", "model", "attack", "epochs", "holdout", "head")),
    srat.fit: {"config": NOWHERE, "out": None, "device": "cpu", "model": None, "observer": None}
    | {"checkpoint_every": "auto", "on_divergence": "stop", "compiled": "off", "record": None},
    srat.load: {"path": "/there/is/no/run", "which": "last", "device": "cpu", "model": None},
    srat.evaluate_run: {"path": NO_RUN, "attacks": ("pgd-2",), "which": "last", "norm": None, "seed": None}
    | {"epsilon": None, "step_size": None, "restarts": None, "images": None, "new_images": False, "anew": False}
    | {"data_dir": None, "draws": 2, "model": None, "device": "cpu", "observer": None},
    srat.audit_run: {"path": NO_RUN, "checks": ("finite",), "which": "last", "images": 9, "source": None, "seed": None}
    | {"data_dir": None, "model": None, "device": "cpu", "observer": None, "begun": silent, "told": silent},
    srat.compare_runs: {"paths": [NO_RUN, NO_RUN], "attacks": ("clean",), "which": "last", "images": None},
    srat.export_run: {"path": NO_RUN, "to": "onnx", "out": None, "which": "last", "model": None},
    srat.list_runs: {"folder": NO_RUN},
    srat.map_run: {"path": NO_RUN, "images": 9, "data_dir": None, "model": None, "device": "cpu", "observer": None},
    srat.plan: {"config": NOWHERE, "time": "10m", "device": "cpu", "measuring": None, "told": silent},
    srat.predict_files: {"run": NO_RUN, "paths": ["/there/is/no/image.png"], "attack": None, "epsilon": None}
    | {"top": 1, "which": "last", "model": None, "device": "cpu", "observer": None, "told": silent},
    srat.report_runs: {
        "paths": [NO_RUN],
        "out": None,
        "data_dir": None,
        "draw_map": False,
        "groups": "half",
        "device": "cpu",
    }
    | {"observer": None, "told": silent},
    srat.separability_of_run: {"path": NO_RUN, "which": "last", "images": 9, "data_dir": None, "model": None}
    | {"device": "cpu", "observer": None},
    srat.calibrate_run: {"path": NO_RUN, "which": "last", "data_dir": None, "model": None}
    | {"device": "cpu", "observer": None},
    srat.write_tables: {
        "evaluation": Evaluation(class_names=("a", "b"), train_counts=(1, 1)),
        "into": "/there/is/none",
    },
    srat.data_of: {"path": "/there/is/no/run", "data_dir": None},
    srat.Config.read: {"path": "/there/is/no/config.json"},
    objective.reduce_weighted: {"losses": LOGITS[:, 0], "weights": LOGITS[:, 1], "reduction": "mean"},
    schedules.scaled: {"epoch": 3, "epochs": 7},
    theory.numerical_bias: {"data": theory.Gaussians(), "weight": 1.0},
    theory.monte_carlo: {"data": theory.Gaussians(), "weight": 1.0, "samples": 10, "seed": 0},
    theory.with_ratios: {"data": theory.Gaussians(), "ratios": [1.0]},
}
"""What can be called, with arguments that it takes."""
PACKAGES = (srat, attacks, data, feature_losses, losses, models, regularizers, robust_losses, weightings)
HANDED_OUT = {
    *("Accuracy", "Batch", "Counts", "Evaluation", "Examples", "Feed", "FeatureTerm", "Groups", "Journal", "Origin"),
    *(
        "Memory",
        "Outcome",
        "Output",
        "Record",
        "References",
        "Result",
        "Run",
        "Targets",
        "TeacherWeights",
        "TrainingData",
    ),
}
"""What users are given, and need not make: records without checks of their own."""
NOT_CHECKED = {
    "attacked": "is `lent`, by its name of version 0.1",
    "logits_at": "each step of each attack calls it; `first_logits` and `evaluate` look before",
    "logits_of": "each call of a wrapped model calls it, and torch.compile goes through it",
    "hash_contents": "takes any number of arguments; a test of its own is below",
    "UserError": "is what is raised",
}
ABSURD = [
    *(None, "x", "", b"1", True, 1j, object(), int, {1, 2}, {}, (), [], [None], ["a"], [[1], [2, 3]]),
    *(-1, 0, 2**70, 10**400, 1e30, 1e300, math.nan, math.inf, -math.inf, [2**70, 1], [-1, 5], [math.nan, 1]),
    *(torch.empty(0), torch.tensor(3), torch.ones(4), torch.ones(4, 3, 2), torch.ones(1, 1, 1, 1, 1)),
    *(torch.full((4,), math.nan), torch.full((4, 3), 1e30), torch.full((4, 1, 5, 5), math.inf), IMAGES * 3, LABELS + 5),
    *(LABELS - 5, LABELS > 0, LOGITS.to(torch.complex64), LOGITS.to(torch.int8), LOGITS.half(), LOGITS.to_sparse()),
    *(np.array(["a"]), np.array([None]), np.zeros(4, "M8[s]"), np.ones((3, 7)) > 0, np.full((22, 3), np.nan)),
]
CODE = {"loss_at", "tell", "notice", "begun", "told"}
"""Functions of the user's: what they raise is theirs."""


def every_call():
    settings = {
        kind: {field.name: field.default for field in dataclasses.fields(kind)}
        for package in PACKAGES
        for name in package.__all__
        if isinstance(kind := getattr(package, name), type) and issubclass(kind, Checked) and kind not in CALLS
    }
    calls = settings | CALLS
    return [
        pytest.param(call, given, name, id=f"{named(call)}-{name}") for call, given in calls.items() for name in given
    ]


def named(call):
    return getattr(call, "__qualname__", type(call).__name__)


def outcome_of(call, given):
    """Return what refuses a call; None if it is understood."""
    try:
        made = call(**given)
        if isinstance(made, AbstractContextManager):
            with made:
                pass
    except UserError as error:
        return str(error)
    return None


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("call", "given", "name"), every_call())
def test_absurd_values_are_understood_or_refused_in_a_line(call, given, name):
    values = [value for value in ABSURD if not (name in CODE and callable(value))]
    lines = [line for value in values if (line := outcome_of(call, given | {name: value})) is not None]
    assert len(lines) > len(values) / 2
    assert all(line and "\n" not in line for line in lines)


def test_no_public_name_is_left_out():
    called = {named(call).split(".")[-1] for call in CALLS}
    for package in PACKAGES:
        for name in package.__all__:
            value = getattr(package, name)
            checked = isinstance(value, type) and issubclass(value, Checked)
            left = name in called | HANDED_OUT | NOT_CHECKED.keys()
            assert checked or left or not callable(value) or hasattr(value, "__args__"), name
    assert all(not issubclass(getattr(package, name, int), Checked) for package in PACKAGES for name in HANDED_OUT)


@pytest.mark.parametrize("value", [value for value in ABSURD if value is not None], ids=lambda _: "")
def test_contents_of_no_data_set_are_refused(value):
    with pytest.raises(UserError, match="^parts: expected a Dataset or None, got "):
        data.hash_contents(DATA, value)


def test_no_package_hands_out_a_name_that_one_of_its_modules_has():
    """Whoever imports the module would get whichever came last."""
    names = ["srat", *(found.name for found in pkgutil.walk_packages(srat.__path__, "srat.") if found.ispkg)]
    assert len(names) > 20
    for name in names:
        package = importlib.import_module(name)
        modules = {found.name: found.ispkg for found in pkgutil.iter_modules(package.__path__)}
        hidden = [each for each in modules if not isinstance(getattr(package, each, srat), types.ModuleType)]
        replaced = [each for each in getattr(package, "__all__", ()) if modules.get(each) is False]
        assert not hidden + replaced, name
