"""Weights of any origin, put into a model as far as they fit: names, shapes, classes, and files that are none."""

import pickle
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from refusals import refusing
from srat.core.errors import UserError
from srat.core.tensor_file import content_of, digest_of, write_tensors
from srat.models import ImageShape, Init, build, wrap
from srat.models.backbones.linear import Linear
from srat.models.backbones.small_cnn import SmallCNN
from srat.models.heads import CosineHead, LinearHead
from srat.models.starting import start_from
from srat.models.weights import Weights, open_weights

ABC, WXYZ = tuple("abc"), tuple("wxyz")
HEAD = {"head.weight", "head.bias"}


def made(seed=0, classes=3, *, mean=0.4, head=None, architecture=None, channels=1, **options):
    statistics = {"mean": torch.full((channels,), mean), "std": torch.full((channels,), 0.2)}
    shape = ImageShape(channels=channels, height=8, width=8)
    architecture, head = architecture or SmallCNN(width=2), head or LinearHead()
    return build(architecture, head, shape=shape, classes=classes, seed=seed, **statistics, **options)


def given(state, class_names=None):
    """Return weights as those of a file."""
    shapes = {name: tuple(tensor.shape) for name, tensor in state.items()}
    return Weights(Path("a.safetensors"), shapes, lambda names: {name: state[name] for name in names}, class_names)


def random(seed, classes=3, **options):
    """Return a model none of whose tensors has the value of another seed's."""
    model = made(seed, classes, mean=0.1 + 0.1 * seed, **options)
    generator = torch.Generator().manual_seed(seed)
    for tensor in model.state_dict().values():
        tensor.copy_(torch.rand(tensor.shape, generator=generator) + 1 if tensor.is_floating_point() else seed)
    return model


def taken(model, state):
    """Return which of a model's tensors have the values of that name."""
    return {name for name, tensor in model.state_dict().items() if name in state and torch.equal(tensor, state[name])}


class TestWhatIsTaken:
    def test_is_all_of_a_run_on_the_same_classes(self):
        there, model = random(1).state_dict(), random(2)
        said = start_from(given(there, ABC), model, ABC)
        assert taken(model, there) == set(there)
        assert said == "training starts from a.safetensors: 28 of 28 tensors taken"

    @pytest.mark.parametrize(
        ("names", "classes", "why"),
        [
            (WXYZ, 4, "its classes are others (4: w, x, y, … there, 3: a, b, c here)"),
            (tuple("cba"), 3, "its classes are others (3: c, b, a there, 3: a, b, c here)"),
            (None, 4, "head.weight is (4, 16) there, (3, 16) here"),
        ],
    )
    def test_is_not_the_head_where_the_classes_are_others(self, names, classes, why):
        there, model = random(1, classes).state_dict(), random(2)
        said = start_from(given(there, names), model, ABC)
        assert taken(model, there) == set(there) - HEAD
        assert taken(model, random(2).state_dict()) == HEAD
        expected = "training starts from a.safetensors: 26 of 28 tensors taken; the head starts at random"
        assert said == f"{expected}: {why}"

    def test_is_the_head_of_classes_without_names_if_it_fits(self):
        there, model = random(1).state_dict(), random(2)
        start_from(given(there), model, ABC)
        assert taken(model, there) == set(there)

    @pytest.mark.parametrize(("theirs", "ours"), [(LinearHead(), CosineHead()), (CosineHead(), LinearHead())])
    def test_is_no_part_of_a_head_of_another_kind(self, theirs, ours):
        there, model = random(1, head=theirs).state_dict(), random(2, head=ours)
        said = start_from(given(there, ABC), model, ABC)
        assert not taken(model, there) & HEAD
        assert "the head starts at random: " in said
        assert "head.bias" in said

    def test_is_never_what_a_run_drew(self):
        there = random(1, head=LinearHead(tau=1.0), class_counts=(9, 1, 1)).state_dict()
        model = random(2, head=LinearHead(tau=1.0), class_counts=(1, 1, 1))
        start_from(given(there, ABC), model, ABC)
        assert taken(model, there) == set(there) - {"head.log_prior"}

    @pytest.mark.parametrize("prefix", ["module.", "state.model."])
    def test_is_found_under_a_prefix(self, prefix):
        there, model = random(1).state_dict(), random(2)
        said = start_from(given({f"{prefix}{name}": tensor for name, tensor in there.items()}), model, ABC)
        assert taken(model, there) == set(there)
        assert f"28 of 28 tensors taken from '{prefix}'" in said

    def test_may_be_that_of_a_bare_backbone(self):
        there, model = random(1).state_dict(), random(2)
        bare = {
            name.removeprefix("backbone."): tensor for name, tensor in there.items() if name.startswith("backbone.")
        }
        said = start_from(given(bare), model, ABC)
        assert taken(model, there) == {f"backbone.{name}" for name in bare}
        assert "24 of 28 tensors taken for 'backbone.'" in said
        assert "the head starts at random: head.weight is not there" in said
        assert "not there: normalization.mean, normalization.std" in said

    def test_leaves_what_has_another_shape_and_tells_it(self):
        there = random(1).state_dict() | {"backbone.3.weight": torch.zeros(2, 2, 5, 5)}
        model = random(2)
        said = start_from(given(there, ABC), model, ABC)
        assert taken(model, there) == set(there) - {"backbone.3.weight"}
        assert "backbone.3.weight is (2, 2, 5, 5) there, (2, 2, 3, 3) here" in said

    def test_is_in_the_types_of_the_model(self):
        there, model = random(1).state_dict(), random(2)
        start_from(given({name: tensor.half() for name, tensor in there.items()}), model, ABC)
        assert {name: tensor.dtype for name, tensor in model.state_dict().items()} == {
            name: tensor.dtype for name, tensor in there.items()
        }

    def test_goes_into_a_wrapped_model_but_for_its_head(self):
        def module():
            return nn.Sequential(nn.Flatten(), nn.Linear(64, 5), nn.ReLU(), nn.Linear(5, 3))

        theirs, ours = module(), module()
        model = wrap(ours, mean=0.5, std=0.5)
        model(torch.rand(2, 1, 8, 8))
        before = ours[3].weight.clone()
        said = start_from(given(theirs.state_dict(), WXYZ), model, ABC)
        assert torch.equal(ours[1].weight, theirs[1].weight)
        assert torch.equal(ours[3].weight, before)
        assert "the head starts at random: its classes are others" in said


class TestWhatIsRefused:
    def test_is_weights_of_which_none_fits(self):
        there = {"conv1.weight": torch.zeros(64, 3, 7, 7), "fc.bias": torch.zeros(1000)}
        with pytest.raises(UserError) as caught:
            start_from(given(there), made(), ABC)
        said = str(caught.value)
        assert said.startswith("`init.path` 'a.safetensors': no weight fits: expected backbone.0.weight (2, 1, 3, 3), ")
        assert said.endswith(", got conv1.weight (64, 3, 7, 7), fc.bias (1000,)")

    def test_is_nothing_but_statistics(self):
        state = random(1, architecture=Linear()).state_dict()
        with pytest.raises(UserError, match=r"no weight fits.*the head starts at random: its classes are others"):
            start_from(given(state, WXYZ), random(2, architecture=Linear()), ABC)

    def test_is_what_is_no_number(self):
        model, there = random(2), random(1).state_dict()
        there["backbone.0.weight"][0, 0, 0, 0] = float("nan")
        before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
        with pytest.raises(UserError, match="expected finite weights, got others in backbone.0.weight"):
            start_from(given(there, ABC), model, ABC)
        assert taken(model, before) == set(before)


class Evil:
    """Runs code where it is unpickled."""

    def __reduce__(self):
        return print, ("code ran",)


class TestFiles:
    def test_of_ours_say_their_classes(self, tmp_path):
        write_tensors(tmp_path / "a", {"w": torch.arange(3.0)}, {"class_names": ["a", "b"]})
        weights = open_weights(tmp_path / "a")
        assert (weights.class_names, weights.shapes) == (("a", "b"), {"w": (3,)})
        assert content_of(tmp_path / "a") == digest_of(tmp_path / "a")

    @pytest.mark.parametrize("header", [None, {"class_names": "17"}, {"class_names": "[1]"}, {"class_names": "["}])
    def test_of_safetensors_say_none(self, header, tmp_path):
        save_file({"w": torch.arange(3.0)}, tmp_path / "a", header)
        assert open_weights(tmp_path / "a").class_names is None

    @pytest.mark.parametrize(
        "wrapped",
        [
            lambda state: state,
            lambda state: {"epoch": 3, "state_dict": state, "optimizer": {"lr": torch.zeros(1)}},
            lambda state: {"a": {"model": state}, "scale": torch.zeros(2)},
        ],
    )
    @pytest.mark.parametrize("zipped", [True, False])
    def test_of_torch_hold_a_state_dict_somewhere(self, wrapped, zipped, tmp_path):
        state = {"w": torch.arange(3.0), "b": torch.ones(())}
        torch.save(wrapped(state), tmp_path / "a.pt", _use_new_zipfile_serialization=zipped)
        weights = open_weights(tmp_path / "a.pt")
        assert weights.shapes == {"w": (3,), "b": ()}
        assert torch.equal(weights.read(["w"])["w"], state["w"])

    @pytest.mark.parametrize("save", [torch.save, lambda what, path: path.write_bytes(pickle.dumps(what))])
    def test_run_no_code(self, save, tmp_path, capsys):
        save({"w": torch.ones(1), "x": Evil()}, tmp_path / "a.pt")
        refused(tmp_path / "a.pt")
        assert "code ran" not in capsys.readouterr().out

    @pytest.mark.parametrize(
        "content", [b"", b"PK\x03\x04", b"\x80\x02.", b"\x08" + b"\0" * 7 + b"{}      ", b"\xff" * 8 + b"{", b"text"]
    )
    def test_that_are_none_are_refused_in_a_line(self, content, tmp_path):
        (tmp_path / "a").write_bytes(content)
        refused(tmp_path / "a")

    def test_without_a_tensor_are_refused(self, tmp_path):
        torch.save({"epoch": 3}, tmp_path / "a.pt")
        refused(tmp_path / "a.pt")


def refused(path):
    with pytest.raises(UserError, match=f"{path}: expected a file of safetensors, or a state dict of torch") as caught:
        open_weights(path)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 1000


class TestInit:
    def test_is_named_by_content(self, tmp_path):
        save_file({"w": torch.arange(3.0)}, tmp_path / "a")
        save_file({"w": torch.arange(3.0)}, tmp_path / "b")
        one, other = Init(path=tmp_path / "a"), Init(path=tmp_path / "b")
        assert one.sha256 == other.sha256 == content_of(tmp_path / "a")
        save_file({"w": torch.zeros(3)}, tmp_path / "b")
        assert Init(path=tmp_path / "b").sha256 != one.sha256

    def test_refuses_what_is_not_there(self, tmp_path):
        with refusing("init.path", str(tmp_path)):
            Init(path=tmp_path)
        with refusing("init.path", "none"):
            Init(sha256="ab").weights()

    def test_refuses_what_has_changed(self, tmp_path):
        save_file({"w": torch.arange(3.0)}, tmp_path / "a")
        init = Init(path=tmp_path / "a")
        save_file({"w": torch.zeros(3)}, tmp_path / "a")
        with pytest.raises(UserError, match=f"`init.path` '{tmp_path / 'a'}': expected weights with the checksum"):
            init.weights()
