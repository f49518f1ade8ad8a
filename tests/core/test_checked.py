"""Whatever Python gives a dataclass or a public function is understood, or refused in a line that names it."""

import dataclasses
import math
import types
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Annotated, Literal, Union, get_args, get_origin, get_type_hints

import numpy as np
import pytest
import torch

import srat.audit
import srat.data
import srat.theory
from srat.attacks import FGSM, PGD, Search
from srat.audit.suite import chosen_checks
from srat.config.config import FAMILIES, SGD, Config, InnerMaximization
from srat.core.checked import Checked, checked
from srat.core.errors import UserError
from srat.core.members import members
from srat.data import Dataset, Holdout
from srat.data.imbalance import Explicit, Step
from srat.losses import LDAM, Focal
from srat.methods.objective import Objective
from srat.methods.table import METHODS
from srat.models import ImageShape
from srat.optimization.schedules import Steps
from srat.theory import Gaussians
from srat.weightings import Fixed

MEMBERS = [kind() for family in (*FAMILIES.values(), Search) for kind in members(family).values()]
SETTINGS = [
    *MEMBERS,
    *chosen_checks(),
    *(Config(), SGD(), InnerMaximization(), Steps(), Objective(), Holdout(), Gaussians(), METHODS["srat-ldam"]),
    ImageShape(channels=3, height=8, width=8),
]
FIELDS = [(made, field.name) for made in SETTINGS for field in dataclasses.fields(made)]
NUMBERS = ("x", "", "1/0", True, [1.0], (), {}, object(), 1j, float, np.array([1.0]), torch.ones(1), np.True_, b"1")


def named(case):
    return f"{type(case).__name__}" if dataclasses.is_dataclass(case) else str(case)


def kinds_of(made, field):
    """Return the types that a field may have, without their wrappings."""

    def parts(kind):
        if get_origin(kind) is Annotated:
            return parts(get_args(kind)[0])
        if get_origin(kind) in (Union, types.UnionType):
            return [part for each in get_args(kind) for part in parts(each)]
        return [kind]

    return parts(get_type_hints(type(made), include_extras=True)[field])


def wrong_for(kinds):
    """Return what cannot be meant for a field of these types."""
    wrong = [object(), 1j, lambda: None, b"1", {1: 2}, Ellipsis]
    if not any(kind in (int, float) for kind in kinds):
        wrong += [3, 2.5, True] if bool not in kinds else [3, 2.5, 1, 0]
    if any(kind is float for kind in kinds):
        wrong += [*NUMBERS, math.nan, math.inf, -math.inf, "nan", 10**400, np.float32("inf")]
    if any(kind is int for kind in kinds):
        wrong += [*NUMBERS, 10.5, "10", math.nan, math.inf, Fraction(1, 2), 10**400, 1e300, torch.tensor(2.5)]
    if type(None) not in kinds:
        wrong.append(None)
    if Path not in kinds and str not in kinds and float not in kinds:
        wrong.append("what no name is")
    if any(get_origin(kind) is tuple for kind in kinds):
        wrong += [
            [object()],
            [True],
            np.ones((2, 2)),
            {1, 2},
            [1.5] if {tuple[int, ...], tuple[str, ...], tuple[int | str, ...]} & {*kinds} else ["x"],
        ]
    return wrong


@pytest.mark.parametrize(("made", "field"), FIELDS, ids=named)
def test_every_field_of_every_member_refuses_values_of_other_types(made, field):
    for value in wrong_for(kinds_of(made, field)):
        with pytest.raises(UserError) as error:
            replace(made, **{field: value})
        said = str(error.value)
        assert "\n" not in said
        assert "expected" in said
        # A range that a number is out of is the class's own to tell; all else names class and field.
        number = isinstance(value, float | np.floating) or (isinstance(value, str) and value == "nan")
        assert number or said.startswith(f"{type(made).__name__}.{field}: expected "), said


@pytest.mark.parametrize(("made", "field"), FIELDS, ids=named)
def test_every_field_of_every_member_understands_what_is_unmistakable(made, field):
    value, kinds = getattr(made, field), kinds_of(made, field)
    same = [value]
    if type(value) is float:
        same += [np.float64(value), torch.tensor(value, dtype=torch.float64), repr(value), Fraction(value)]
    if type(value) is int:
        same += [np.int64(value), np.uint16(value), float(value), torch.tensor(value), np.array(value)]
    if type(value) is bool:
        same += [np.bool_(value), torch.tensor(value)]
    if type(value) is tuple:
        same += [list(value)]
    if isinstance(value, str) and any(get_origin(kind) is Literal for kind in kinds):
        same += [value.upper(), value.replace("-", "_"), value.replace("_", "-"), np.str_(value)]
    for given in same:
        changed = replace(made, **{field: given})
        assert changed == made
        assert type(getattr(changed, field)) is type(value)
        assert hash(changed) == hash(made)


def test_all_members_are_checked_whoever_writes_them():
    @dataclass(frozen=True, kw_only=True)
    class Forgetful(srat.losses.Loss):
        strength: float = 1.0

    @dataclass(frozen=True, kw_only=True)
    class Careful(Forgetful):
        times: int = 2

        def __post_init__(self):
            assert type(self.times) is int
            if self.times > 3:
                raise UserError("too often")

    assert Forgetful(strength=2).strength == 2.0
    assert Careful(times=3.0, strength="1/2") == Careful(times=3, strength=0.5)
    for wrong, said in (
        ({"strength": "x"}, "Careful.strength: expected a number, got 'x'"),
        ({"times": 4.5}, "Careful.times: expected a whole number, got 4.5"),
        ({"times": 4}, "too often"),
        ({"strength": math.inf}, "Careful.strength: expected a finite number, got inf"),
    ):
        with pytest.raises(UserError) as error:
            Careful(**wrong)
        assert str(error.value) == said


@pytest.mark.parametrize("kind", [type(made) for made in SETTINGS], ids=lambda kind: kind.__name__)
def test_every_class_names_its_keywords(kind):
    names = [field.name for field in dataclasses.fields(kind)]
    there = f"; there are: {', '.join(names) or 'none'}"
    calls = [(lambda: kind(**{"what no name is": 1}), "unknown keyword 'what no name is'")]
    calls += [(lambda: kind(*range(len(names) + 1)), "expected keywords, got 0 without one")]
    for call, said in calls:
        with pytest.raises(UserError) as error:
            call()
        assert str(error.value) == f"{kind.__name__}: {said}{there}"
    with pytest.raises(UserError, match="unknown keyword 'nope'"):
        replace(next(made for made in SETTINGS if type(made) is kind), nope=1)


def test_a_near_keyword_is_named():
    for call, near in ((lambda: PGD(eps=8 / 255), "epsilon"), (lambda: Config(epoch=3), "epochs")):
        with pytest.raises(UserError, match=f", did you mean '{near}'\\?; there are: "):
            call()


def test_what_a_class_cannot_do_without_is_named():
    with pytest.raises(UserError) as error:
        ImageShape(channels=3)
    said = "ImageShape: expected a value for height and width, got none; there are: channels, height, width"
    assert str(error.value) == said
    with pytest.raises(UserError, match="Dataset: expected at most images, labels, class_names, groups without"):
        Dataset(1, 2, 3, 4, 5)


def test_nothing_that_users_construct_is_left_out():
    """Settings are frozen dataclasses with defaults for all; in the rooms that a configuration is made of, all are."""
    for made in SETTINGS:
        assert isinstance(made, Checked)
    reached = {type(value) for config in (Config(),) for value in vars(config).values()}
    assert all(issubclass(kind, Checked) for kind in reached if dataclasses.is_dataclass(kind))


@pytest.mark.parametrize(
    ("norm", "meant"),
    [
        (n, "linf")
        for n in ("linf", "Linf", "L_inf", "l-inf", "LINF", "inf", "∞", "L∞", math.inf, np.inf, np.float32("inf"))
    ]
    + [(n, "l2") for n in ("l2", "L2", "l_2", "2", 2, 2.0, np.int64(2))],
)
def test_spellings_of_a_norm(norm, meant):
    assert PGD(norm=norm, epsilon=0.5).norm == meant
    assert srat.compose(norm=norm, epsilon=0.5).evaluation.norm == meant
    x = torch.full((2, 1, 4, 4), 0.5)
    assert srat.attacks.within(x, x, norm=norm, epsilon=0.1).all()


@pytest.mark.parametrize("norm", ["l1", "1", 1, True, None, "", "l", 3, math.nan, -math.inf, ["l2"]])
def test_norms_that_there_are_not(norm):
    with pytest.raises(UserError, match=r"PGD\.norm: expected linf or l2, got "):
        PGD(norm=norm)


@pytest.mark.parametrize(
    ("made", "said"),
    [
        (lambda: PGD(steps=10.5), "PGD.steps: expected a whole number, got 10.5"),
        (lambda: PGD(steps=True), "PGD.steps: expected a whole number, got True"),
        (lambda: PGD(random_start=1), "PGD.random_start: expected True or False, got 1"),
        (lambda: FGSM(step_size="x"), "FGSM.step_size: expected a number or None, got 'x'"),
        (lambda: LDAM(scale=math.inf), "LDAM.scale: expected a finite number, got inf"),
        (lambda: Focal(gamma=torch.ones(3)), "Focal.gamma: expected a number, got a tensor of float32, (3,)"),
        (lambda: Fixed(values=(1, "a")), "Fixed.values: expected a list of numbers, got (1, 'a')"),
        (lambda: Explicit(keep="12"), "Explicit.keep: expected a list of whole numbers, got '12'"),
        (
            lambda: Step(class_order="x"),
            "Step.class_order: expected label or random or a list of whole numbers, got 'x'",
        ),
        (
            lambda: Config(loss="focal"),
            "Config.loss: expected a Loss (BalancedSoftmax, CDT, CrossEntropy, Focal, HARL, LDAM, LogitAdjustment, "
            "RoBal, VectorScaling), got 'focal'",
        ),
        (lambda: Config(evaluation=FGSM()), "Config.evaluation: expected a PGD, got an FGSM"),
        (
            lambda: Config(optimizer=SGD),
            "Config.optimizer: expected an Optimizer (AdamW, SGD), got the class SGD itself",
        ),
        (lambda: Config(precision="bf8"), "Config.precision: expected one of fp32, tf32, bf16, fp16, got 'bf8'"),
        (lambda: Steps(milestones=5), "Steps.milestones: expected a list of whole numbers or None, got 5"),
        (
            lambda: PGD(epsilon=8),
            "`epsilon`: expected above 0 and at most 1, in [0, 1] pixel units (8/255 is 0.0314), got 8; it looks like "
            "units of 255: write 8/255",
        ),
        (lambda: replace(PGD(), steps="10"), "PGD.steps: expected a whole number, got '10'"),
    ],
)
def test_what_is_said(made, said):
    with pytest.raises(UserError) as error:
        made()
    assert str(error.value) == said


def test_a_fraction_as_text_is_what_the_command_line_takes_it_for(cli, tmp_path):
    assert PGD(epsilon="8/255").epsilon == 8 / 255
    assert PGD(epsilon=" 0.1 ").epsilon == 0.1


def test_paths_know_the_home_folder(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert (
        srat.data.sources.folder.Folder(dir="~/x").dir
        == srat.compose(data="folder", data_dir="~/x").data.dir
        == tmp_path / "x"
    )
    assert srat.data.sources.folder.Folder(dir=Path("~")).dir == tmp_path
    for path in ("", "a\0b", b"x", "~nobody-of-this-name/x"):
        with pytest.raises(UserError, match=r"Folder\.dir: expected a path or None"):
            srat.data.sources.folder.Folder(dir=path)


def test_a_configuration_that_is_read_passes_the_same_door():
    plain = Config().to_plain()
    plain["attack"]["steps"] = 10.5
    with pytest.raises(UserError, match=r"attack\.steps: expected a whole number, got 10\.5"):
        Config.from_plain(plain)
    assert Config.from_plain(Config().to_plain()) == Config()


def test_data_sets_take_arrays_and_lists():
    pixels, labels = np.random.default_rng(0).random((4, 1, 6, 6)), [0, 1, 1, 0]
    made = Dataset(pixels, labels, ["a", "b"])
    assert torch.equal(made.images, torch.from_numpy(pixels))
    assert (made.counts, made.class_names, made.labels.dtype) == ((2, 2), ("a", "b"), torch.int64)
    assert made.subset([0, 1]).labels.tolist() == [0, 1]
    assert Dataset(list(pixels), np.array(labels, dtype=">i2"), ("a", "b")).counts == (2, 2)
    assert Dataset(pixels[:, :, ::-1], labels, ("a", "b")).images[0, 0, 0, 0] == pixels[0, 0, 5, 0]
    for wrong, said in (
        ((pixels.transpose(0, 2, 3, 1), labels, ("a", "b")), "with the channels last"),
        ((pixels[0], labels, ("a", "b")), "expected 4 axes"),
        ((pixels, [0.0, 1.0, 0.5, 0.0], ("a", "b")), "got float64 of shape (4,) that are not all whole numbers"),
        ((pixels, labels, "ab"), "Dataset.class_names: expected a list of text, got 'ab'"),
        (("pixels", labels, ("a", "b")), "Dataset.images: expected a tensor or an ImageFiles, got 'pixels'"),
        (([[1, 2], [3]], labels, ("a", "b")), "Dataset.images: expected a tensor or an ImageFiles"),
    ):
        with pytest.raises(UserError) as error:
            Dataset(*wrong)
        assert said in str(error.value)


class TestFunctions:
    def test_compare_what_they_are_given(self):
        @checked
        def door(a: int, b: float = 1.0, *, norm: Literal["x-y", "z"] = "z", other=None):
            return a, b, norm, other

        assert door(1.0, "1/4", norm="X_Y", other="!") == (1, 0.25, "x-y", "!")
        assert door(a=np.int8(2)) == (2, 1.0, "z", None)
        for given, named, said in (
            ((1.5,), {}, "a: expected a whole number, got 1.5"),
            ((1,), {"b": math.nan}, "b: expected a finite number, got nan"),
            ((1,), {"norm": "w"}, "norm: expected x-y or z, got 'w'"),
        ):
            with pytest.raises(UserError) as error:
                door(*given, **named)
            assert str(error.value) == said

    @pytest.mark.parametrize(
        ("call", "said"),
        [
            (lambda door: door(1, 2, 3), "door: expected at most a, b without a keyword, got 3 more"),
            (lambda door: door(), "door: expected a value for a, got none"),
            (lambda door: door(1, a=2), "door: expected one value for a, got two, with a keyword and without"),
            (lambda door: door(1, nrom="z"), "door: unknown keyword 'nrom', did you mean 'norm'?"),
        ],
    )
    def test_name_what_they_take(self, call, said):
        @checked
        def door(a: int, b: float = 1.0, *, norm: Literal["x-y", "z"] = "z"):
            return a, b, norm

        with pytest.raises(UserError) as error:
            call(door)
        assert str(error.value) == f"{said}; there are: a, b, norm"

    def test_may_take_any_keyword_or_be_methods(self):
        class Room:
            @checked
            def door(self, a: int, **others):
                return a, others

        assert Room().door(1, b=2) == (1, {"b": 2})
        with pytest.raises(UserError, match=r"^Room\.door: expected at most a without a keyword, got 2 more; .*: a$"):
            Room().door(1, 2)
        with pytest.raises(UserError, match=r"^Room\.door: expected a value for a, got none; there are: a$"):
            Room().door()

    def test_of_tensors_look_at_type_and_axes_alone(self):
        logits, labels = torch.zeros(2, 3), torch.tensor([0, 2])
        assert srat.losses.cross_entropy(logits, [0, 2]).tolist() == pytest.approx([math.log(3)] * 2)
        assert srat.losses.cross_entropy(logits, labels.byte()).shape == (2,)
        for wrong, said in (
            (
                (logits.int(), labels),
                "logits: expected a tensor of floats, (batch, classes), got a tensor of int32, (2, 3)",
            ),
            (
                (logits, labels[:, None]),
                "labels: expected a tensor of integers, (batch,), got a tensor of int64, (2, 1)",
            ),
            ((logits, labels == 0), "labels: expected a tensor of integers, (batch,), got a tensor of bool, (2,)"),
            ((None, labels), "logits: expected a tensor of floats, (batch, classes), got None"),
        ):
            with pytest.raises(UserError) as error:
                srat.losses.cross_entropy(*wrong)
            assert str(error.value) == said
