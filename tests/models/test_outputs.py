"""Logits are found in whatever a model returns, or it is said that they are not."""

import dataclasses
from collections import OrderedDict
from dataclasses import dataclass
from types import SimpleNamespace
from typing import NamedTuple

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from srat.core.errors import UserError
from srat.models import Output, logits_of
from srat.models.likeness import are_probabilities, likeness
from srat.models.outputs import as_place, tables_of

Z, WIDE, IMAGES = torch.randn(4, 10), torch.randn(4, 32), torch.randn(4, 3, 8, 8)


class Inception(NamedTuple):
    logits: torch.Tensor
    aux_logits: torch.Tensor


@dataclass
class Scores:
    loss: torch.Tensor | None
    scores: torch.Tensor


@pytest.mark.parametrize(
    "output",
    [
        Z,
        Output(Z, WIDE, WIDE),
        SimpleNamespace(logits=Z, hidden_states=WIDE),
        Inception(Z, torch.zeros(4, 10)),
        {"logits": Z, "features": WIDE},
        {"loss": torch.tensor(1.0), "scores": Z, "labels": torch.zeros(4, 10, dtype=torch.long)},
        (Z,),
        [None, Z],
        (Z, None, IMAGES),
        (torch.tensor(0.3), Z, (WIDE, WIDE)),
        OrderedDict(out=Z, aux=torch.zeros(4, 10)),
        {"aux": torch.zeros(4, 10), "out": Z},
        {"Aux_logits": WIDE, "predictions": {"z": Z}},
        {"aux": Z},
        Scores(None, Z),
    ],
    ids=lambda output: type(output).__name__,
)
def test_are_found(output):
    assert logits_of(output, batch=4) is Z


@pytest.mark.parametrize(
    ("output", "pick", "found"),
    [
        ((WIDE, Z), 1, Z),
        ((WIDE, Z), -1, Z),
        ({"features": WIDE, "out": Z}, "out", Z),
        ({"features": WIDE, "out": Z}, 1, Z),
        (Inception(WIDE, Z), "aux_logits", Z),
        (SimpleNamespace(a=Z), "a", Z),
        ({0: WIDE, 1: Z}, 1, Z),
        ({1: Z, 0: WIDE}, 1, Z),
        ({"others": [WIDE, {"z": Z}]}, ("others", 1, "z"), Z),
        ((WIDE, Inception(WIDE, Z)), (-1, "aux_logits"), Z),
        (Z, (), Z),
    ],
)
def test_are_picked(output, pick, found):
    assert logits_of(output, pick=pick) is found


@pytest.mark.parametrize(
    ("output", "pick", "said"),
    [
        (
            (Z, WIDE),
            None,
            r"could be the logits: tuple of 0: \(4, 10\) float32, 1: \(4, 32\) float32; .*output=…",
        ),
        ({"a": Z, "b": WIDE}, None, "dict of a: .* b: .*output="),
        (Z[:2], None, r"got \(2, 10\) float32 for 4 images"),
        (Z[:, :1], None, "a model of two classes has two logits"),
        (Z[:, 0], None, r"got \(4,\) float32$"),
        (Z[:, :, None], None, r"got \(4, 10, 1\)"),
        (IMAGES, None, r"got \(4, 3, 8, 8\)"),
        (Z.to(torch.complex64), None, "complex64"),
        (Z.long(), None, "int64"),
        (None, None, "got NoneType"),
        ("logits", None, "got str"),
        (Z.numpy(), None, "got ndarray"),
        ((), None, "got tuple"),
        ((IMAGES, None), None, "got tuple of 0: .* 1: NoneType"),
        ((Z, WIDE), 2, r"output=2: there is none in what the model returns: tuple of"),
        ({"a": Z}, "b", "output='b': there is none"),
        (Z, 0, "output=0: there is none"),
        (Z, "T", "output='T': there is none"),
        ({"a": [Z]}, ("a", 1), r"output=\('a', 1\): there is none"),
        ((WIDE, Z), True, "output: expected an index, a key or a tuple of these, got True"),
        (Output, None, "got type|got \\w+Meta|got"),
    ],
)
def test_what_is_none_is_refused_in_a_line(output, pick, said):
    with pytest.raises(UserError, match=said) as error:
        logits_of(output, batch=4, pick=pick)
    assert "\n" not in str(error.value)


shapes = st.lists(st.integers(0, 4), max_size=4).map(tuple)
tensors = shapes.map(torch.zeros)
outputs = st.recursive(
    st.one_of(tensors, st.none(), st.integers(), st.text(max_size=3)),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=2), inner, max_size=3)),
)


@given(outputs, st.one_of(st.none(), st.integers(-3, 3), st.text(max_size=2)))
def test_anything_is_understood_or_refused(output, pick):
    try:
        logits = logits_of(output, batch=3, pick=pick)
    except UserError:
        return
    assert logits.shape[0] == 3
    assert logits.shape[1] >= 2


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.float16, torch.bfloat16])
def test_probabilities_are_recognised(dtype):
    z = torch.randn(50, 1000).mul(3).to(dtype)
    assert are_probabilities(z.softmax(1))
    assert not any(
        map(are_probabilities, (z, z.log_softmax(1), z.sigmoid(), z.relu(), torch.zeros(3, 4), z * torch.nan))
    )


SQUASHED = {
    "sigmoid": (torch.sigmoid, "sigmoid"),
    "steep sigmoid": (lambda z: (9 * z).sigmoid(), "sigmoid"),
    "tanh": (lambda z: (3 * z).tanh(), "tanh"),
    "hardtanh": (F.hardtanh, "tanh"),
    "clamp": (lambda z: (2 * z).clamp(0, 1), "sigmoid or the clamp"),
    "scaled softmax": (lambda z: 7 * z.softmax(1), "softmax"),
    "faint scaled softmax": (lambda z: 0.1 * (0.05 * z).softmax(1), "softmax"),
    "softmax": (lambda z: z.softmax(1), "softmax"),
}
HONEST = {
    "logits": lambda z: z,
    "small logits": lambda z: 0.05 * z,
    "cosines": lambda z: z / z.norm(dim=1, keepdim=True) * 0.98,
    "log-softmax": lambda z: z.log_softmax(1),
    "rectified": F.relu,
    "small rectified": lambda z: 0.05 * z.relu(),
    "large and positive": lambda z: z.abs() + 0.5,
    "almost alike": lambda z: 3 + 1e-4 * z,
    "zeros": torch.zeros_like,
    "ones": torch.ones_like,
    "the same for all": lambda z: z[:1].abs().expand_as(z),
    "NaN": lambda z: z * torch.nan,
}


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("kind", SQUASHED)
def test_outputs_that_are_no_logits_are_recognised(kind, dtype):
    squash, made_by = SQUASHED[kind]
    z = torch.randn(4, 10, generator=torch.Generator().manual_seed(0)).mul(2).to(dtype)
    if kind.startswith("faint") and dtype.itemsize == 2:
        return  # rounding hides it
    assert made_by in likeness(squash(z)).made_by


@pytest.mark.parametrize("classes", [2, 3, 10, 100])
@pytest.mark.parametrize("kind", HONEST)
def test_logits_are_not_taken_for_anything_else(kind, classes):
    for seed in range(20):
        z = torch.randn(4, classes, generator=torch.Generator().manual_seed(seed)).mul(2)
        assert likeness(HONEST[kind](z)) is None


def test_two_small_positive_logits_are_no_sigmoid():
    assert likeness(torch.tensor([[0.1, 0.3], [0.2, 0.1]])) is None


@pytest.mark.parametrize("pick", [True, 1.0, [1], None, (1, True), (None,)])
def test_a_place_is_made_of_indices_and_keys(pick):
    assert as_place(1) == (1,)
    assert as_place(("a", -1)) == ("a", -1)
    with pytest.raises(UserError, match="output: expected an index, a key or a tuple of these, got "):
        as_place(pick)


@dataclasses.dataclass(slots=True)
class Slots:
    y: torch.Tensor


def test_slots_are_fields_too():
    assert logits_of(Slots(y=torch.ones(3, 4))).shape == (3, 4)


def test_what_is_nested_behind_the_logits_of_a_tuple_is_of_hidden_layers():
    z = torch.ones(3, 4)
    assert logits_of((z, [z + 1, z + 2])) is z


class Features(NamedTuple):
    features: torch.Tensor
    class_logits: torch.Tensor


class GoogLeNet(NamedTuple):
    logits: torch.Tensor
    aux_logits2: torch.Tensor
    aux_logits1: torch.Tensor


class OfAnyClass:
    """What is neither a dataclass nor a mapping, and makes its logits when it is asked."""

    def __init__(self, z, features):
        self.features, self._z = features, z

    @property
    def logits(self):
        return self._z


@pytest.mark.parametrize(
    "of",
    [
        lambda z, f: Features(f, z),
        lambda z, f: GoogLeNet(z, f, f + 1),
        lambda z, f: {"embedding": f, "logits": z},
        lambda z, f: {"embedding": f, "cls_logits": z, "aux_logits": f},
        lambda z, f: SimpleNamespace(features=f, pred_logits=z),
        lambda z, f: OfAnyClass(z, f),
        lambda z, f: [z, z],
        lambda z, f: {"a": z, "b": {"c": z}},
    ],
)
def test_features_as_wide_as_the_logits_are_told_from_them_by_name(of):
    z, features = torch.ones(3, 4), torch.zeros(3, 4)
    output = of(z, features)
    assert logits_of(output) is z
    assert any(table is z for table in tables_of(output).values())


@pytest.mark.parametrize(
    "of",
    [
        lambda z, f: (f, z),
        lambda z, f: (z, f),
        lambda z, f: {"embedding": f, "prediction": z},
        lambda z, f: {"main": z, "others": {"a": f}},
        lambda z, f: {"logits_a": z, "logits_b": f},
        lambda z, f: SimpleNamespace(a=z, b=f),
        lambda z, f: Scores(loss=f, scores=z),
    ],
)
def test_features_as_wide_as_the_logits_are_never_taken_for_them(of):
    z, features = torch.ones(3, 4), torch.zeros(3, 4)
    with pytest.raises(UserError, match=r"several of its outputs could be the logits: .*output=…") as error:
        logits_of(of(z, features))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("nested", [lambda z, f: ((z,), f), lambda z, f: {"f": f, "preds": {"z": z}}])
def test_features_beside_nested_logits_are_not_taken_for_them(nested):
    with pytest.raises(UserError, match="several of its outputs could be the logits"):
        logits_of(nested(torch.ones(3, 4), torch.ones(3, 9)))
