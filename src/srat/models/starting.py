"""What weights a training starts from, and how they get into its model."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import torch

from srat.core.checked import Checked
from srat.core.errors import UserError, require, require_field
from srat.core.members import NOT_IDENTITY
from srat.core.tensor_file import Tensors, content_of, require_named, weights_at
from srat.core.words import NAMED, counted, few
from srat.models.classifier import Classifier
from srat.models.weights import Weights, open_weights

Shapes = Mapping[str, tuple[int, ...]]
_LONGEST_PREFIX = 3
"""Words."""
_PRIOR = "log_prior"
"""A head's buffer that says what a run drew: it is of that run alone."""


@dataclass(frozen=True, kw_only=True)
class Init(Checked):
    """Weights of another run, or of any file, that training starts from."""

    path: Path | None = field(default=None, metadata=NOT_IDENTITY)
    """Folder of a run that has ended, a file of safetensors or a state dict of torch; none to start at random."""
    sha256: str = ""
    """Checksum of these weights, which says which they are wherever they lie; read from them unless given."""

    def __post_init__(self) -> None:
        if self.path is None or self.sha256:
            return
        file = weights_at(self.path)
        wanted = "the folder of a run that has ended, a file of safetensors, or a state dict of torch"
        require_field(file.is_file(), "init.path", wanted, str(self.path))
        object.__setattr__(self, "path", file.absolute())
        object.__setattr__(self, "sha256", content_of(file))

    def weights(self) -> Weights | None:
        """Return the weights; None to start at random.

        Raises:
            UserError: if they are gone, or others than named.
        """
        if not self.sha256:
            return None
        require_field(self.path is not None, "init.path", f"where the weights {self.sha256} lie", "none")
        assert self.path is not None
        require_named(content_of(self.path), self.sha256, f"`init.path` '{self.path}'")
        return open_weights(self.path)


@torch.no_grad()
def start_from(weights: Weights, model: Classifier, class_names: Sequence[str]) -> str:
    """Put weights into a model as far as they fit, and return in a line what was taken and what was not.

    Names may have prefixes on both sides, such as "module."; those are taken under which most fits. The last
    layer stays as it is where the classes are others.

    Args:
        weights: by name.
        model: freshly initialised; changed in place.
        class_names: what its logits stand for.

    Raises:
        UserError: if no parameter fits, or a number is not finite.
    """
    state = model.state_dict()
    wanted: Shapes = {name: tuple(tensor.shape) for name, tensor in state.items() if not name.endswith(_PRIOR)}
    fit = fitting(wanted, weights.shapes)
    head = head_of(model)
    left_out = _why_no_head({name: wanted[name] for name in wanted if name.startswith(head)}, fit, weights, class_names)
    taken = {name: theirs for name, theirs in fit.taken.items() if not (left_out and name.startswith(head))}
    learnt = [name for name, _ in model.named_parameters()]
    beside = left_out if fit.taken else ()
    some = any(name in taken for name in learnt)
    require(some, _nothing_fits({name: wanted[name] for name in learnt}, weights, beside))
    tensors = weights.read(taken.values())
    _require_finite(tensors, weights.path)
    for name, theirs in taken.items():
        state[name].copy_(tensors[theirs])
    others = [name for name in wanted if name not in taken and not (left_out and name.startswith(head))]
    return "; ".join((_took(weights, taken, wanted, fit), *left_out, *_not_taken(others, wanted, fit, weights)))


class Fit(NamedTuple):
    """How the names of weights are those of a model."""

    taken: Mapping[str, str]
    """The model's names → the weights', of those whose shapes are the same."""
    named: Mapping[str, str]
    """The same, whatever their shapes."""
    ours: str
    """What stands before the model's names alone."""
    theirs: str
    """What stands before the weights' alone."""


def fitting(wanted: Shapes, given: Shapes) -> Fit:
    """Return which names of weights are which of a model's, where both may have a prefix.

    Args:
        wanted: the model's shapes by name.
        given: the weights'.
    """
    parted: defaultdict[str, list[tuple[str, str]]] = defaultdict(list)
    for name in given:
        for prefix, rest in _splits(name):
            parted[rest].append((prefix, name))
    ways: Counter[tuple[str, str]] = Counter()
    for name, shape in wanted.items():
        for ours, rest in _splits(name):
            ways.update((ours, theirs) for theirs, there in parted[rest] if given[there] == shape)
    ours, theirs = max(ways, key=lambda way: (ways[way], -len("".join(way))), default=("", ""))
    named = {
        name: there for name in wanted if name.startswith(ours) and (there := theirs + name.removeprefix(ours)) in given
    }
    taken = {name: there for name, there in named.items() if wanted[name] == given[there]}
    return Fit(taken, named, ours, theirs)


def _splits(name: str) -> Iterator[tuple[str, str]]:
    """Yield a name with prefixes of no word, one and more taken off: ("", "a.b"), ("a.", "b")."""
    words = name.split(".")
    for cut in range(min(_LONGEST_PREFIX + 1, len(words))):
        yield "".join(f"{word}." for word in words[:cut]), ".".join(words[cut:])


def head_of(model: Classifier) -> str:
    """Return what the names of the last layer's tensors begin with: of a wrapped model it lies in the backbone."""
    head = model.head
    return next(f"{name}." for name, module in model.named_modules() if module is head)


def _why_no_head(head: Shapes, fit: Fit, weights: Weights, class_names: Sequence[str]) -> list[str]:
    """Return why the last layer is left out, in a list; an empty one if it is not."""
    there = weights.class_names
    if there is not None and list(there) != list(class_names):
        both = f"{_classes(there)} there, {_classes(class_names)} here"
        return [f"the head starts at random: its classes are others ({both})"]
    random, where = "the head starts at random:", next(iter(head)).rpartition(".")[0]
    for name in head:
        if name not in fit.taken:
            how = _both(name, head, fit, weights) if name in fit.named else f"{name} is not there"
            return [f"{random} {how}"]
    theirs = [name for name in weights.shapes if name.startswith(f"{fit.theirs}{where.removeprefix(fit.ours)}.")]
    strange = [name for name in theirs if name not in fit.taken.values() and not name.endswith(_PRIOR)]
    return [f"{random} its {strange[0]} has no place here"] if strange else []


def _classes(names: Sequence[str]) -> str:
    return f"{len(names)}: {few(list(names))}"


def _both(name: str, wanted: Shapes, fit: Fit, weights: Weights) -> str:
    return f"{name} is {weights.shapes[fit.named[name]]} there, {wanted[name]} here"


def _took(weights: Weights, taken: Mapping[str, str], wanted: Shapes, fit: Fit) -> str:
    under = f" for '{fit.ours}'" * bool(fit.ours) + f" from '{fit.theirs}'" * bool(fit.theirs)
    return f"training starts from {weights.path}: {len(taken)} of {counted(len(wanted), 'tensor')} taken{under}"


def _not_taken(others: Sequence[str], wanted: Shapes, fit: Fit, weights: Weights) -> list[str]:
    """Return what else stays as it is: for its shape, or because it is not there."""
    unlike = [_both(name, wanted, fit, weights) for name in others if name in fit.named]
    absent = [name for name in others if name not in fit.named]
    return [f"{few(unlike)}"] * bool(unlike) + [f"not there: {few(absent)}"] * bool(absent)


def _nothing_fits(wanted: Shapes, weights: Weights, left_out: Sequence[str]) -> str:
    ours, theirs = (few([f"{name} {shape}" for name, shape in shapes.items()]) for shapes in (wanted, weights.shapes))
    beside = f" ({left_out[0]})" if left_out else ""
    return f"`{weights.setting}` '{weights.path}': no weight fits: expected {ours}, got {theirs or 'nothing'}{beside}"


def _require_finite(tensors: Tensors, path: Path) -> None:
    wrong = [name for name, tensor in tensors.items() if tensor.is_floating_point() and not tensor.isfinite().all()]
    if wrong:
        raise UserError(f"{path}: expected finite weights, got others in {few(wrong[:NAMED])}")
