"""Values that come from Python, compared with annotations where they enter: understood, or refused in a line."""

import dataclasses
import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from functools import cache, wraps
from typing import Any, ParamSpec, TypeVar, get_type_hints

from srat.core.errors import UserError, unknown
from srat.core.kinds import described, in_full, said
from srat.core.values import Fitter, UnfitError, fitter

P = ParamSpec("P")
R = TypeVar("R")


Known = dict[str, tuple[Any, Fitter]]
"""Names → their annotations, and what makes a value one of those."""
_OWNERS = ("self", "cls")
"""What methods take before what a user gives."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Taken:
    """What a class or a function takes."""

    whose: str
    """Its name in messages."""
    named: tuple[str, ...]
    """What it takes, by name; not the instance that a method is called on."""
    positional: tuple[str, ...]
    """What it takes by position."""
    needed: frozenset[str]
    """What has no default."""
    known: Known
    rest: str = ""
    """What it takes any number of by position, if it does."""
    open: bool = False
    """Whether it takes other keywords too."""

    @property
    def there(self) -> str:
        """What a message says of what it takes."""
        return f"there are: {', '.join(self.named) or 'none'}"


class _Door(type):
    """Makes instances of what is given once that is compared with the annotations, before any code of theirs runs."""

    def __call__(cls, *args: Any, **kwargs: Any) -> Any:
        taken = _taken_by_class(cls)
        _require_taken(taken, args, kwargs)
        given, named = _compared(taken, args, kwargs, f"{cls.__name__}.")
        made = super().__call__(*given, **named)
        for name in taken.known:
            _refuse_infinite(getattr(made, name), f"{cls.__name__}.{name}")
        return made


class Checked(metaclass=_Door):
    """A dataclass whose fields are compared with their annotations before its own checks run.

    No float may be NaN or infinite in the end, whatever its own checks let through.
    """


def _read_class(kind: Any) -> _Taken:
    hints = get_type_hints(kind, include_extras=True)
    return _taken(list(inspect.signature(kind.__init__).parameters.values())[1:], hints, kind.__name__)


_taken_by_class: Callable[[Any], _Taken] = cache(_read_class)


def _read_function(function: Callable[..., Any]) -> _Taken:
    whose = function.__qualname__.rpartition("<locals>.")[2].removesuffix(".__call__").removesuffix(".__init__")
    parameters = inspect.signature(function).parameters.values()
    return _taken(list(parameters), get_type_hints(function, include_extras=True), whose)


def _taken(parameters: Sequence[inspect.Parameter], hints: Mapping[str, Any], whose: str) -> _Taken:
    plain = [p for p in parameters if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
    kinds = {p.name: hints[p.name] for p in parameters if p.name in hints}
    return _Taken(
        whose=whose,
        named=tuple(p.name for p in plain if p.name not in _OWNERS),
        positional=tuple(p.name for p in plain if p.kind is not p.KEYWORD_ONLY),
        needed=frozenset(p.name for p in plain if p.default is p.empty),
        known={name: (kind, fitter(kind)) for name, kind in kinds.items()},
        rest="".join(p.name for p in parameters if p.kind is p.VAR_POSITIONAL),
        open=any(p.kind is p.VAR_KEYWORD for p in parameters),
    )


def checked(function: Callable[P, R]) -> Callable[P, R]:
    """Return a function that compares its arguments with their annotations before it does anything.

    Args:
        function: whose arguments a user may give.
    """

    @cache
    def taken() -> _Taken:
        return _read_function(function)

    @cache
    def axes() -> dict[str, list[str]]:
        return {name: kind.dim_str.split() for name, (kind, _) in taken().known.items() if hasattr(kind, "dim_str")}

    @wraps(function)
    def door(*args: P.args, **kwargs: P.kwargs) -> R:
        _require_taken(taken(), args, kwargs)
        given, named = _compared(taken(), args, kwargs)
        by_name = dict(zip(taken().positional, given, strict=False)) | named
        for name, value in by_name.items():
            if name in taken().known:
                _refuse_infinite(value, name)
        _require_same_lengths(axes(), by_name)
        return function(*given, **named)

    return door


def _require_taken(taken: _Taken, args: Sequence[Any], kwargs: Mapping[str, Any]) -> None:
    """Refuse keywords that there are not, more values than have a place, and fewer than are needed."""
    for name in kwargs:
        if name not in taken.named and not taken.open:
            raise UserError(f"{taken.whose}: {unknown('keyword', name, taken.named)}")
    if len(args) > len(taken.positional) and not taken.rest:
        first = args[len(taken.positional)]
        places = [name for name in taken.positional if name in taken.named]
        room = f"at most {', '.join(places)} without a keyword, got {said(first)} more" if places else ""
        raise UserError(f"{taken.whose}: expected {room or f'keywords, got {said(first)} without one'}; {taken.there}")
    placed = taken.positional[: len(args)]
    for name in placed:
        if name in kwargs:
            raise UserError(
                f"{taken.whose}: expected one value for {name}, got two, with a keyword and without; {taken.there}"
            )
    missing = [name for name in taken.named if name in taken.needed and name not in placed and name not in kwargs]
    if missing:
        raise UserError(f"{taken.whose}: expected a value for {' and '.join(missing)}, got none; {taken.there}")


def _compared(taken: _Taken, args: Any, kwargs: Any, whose: str = "") -> tuple[Any, Any]:
    """Return arguments as the annotated types; those that have none stay as they are."""

    def fitted(name: str, value: Any) -> Any:
        return _fitted(value, *taken.known[name], f"{whose}{name}") if name in taken.known else value

    names = (*taken.positional, *[taken.rest] * (len(args) - len(taken.positional)))
    given = tuple(fitted(name, value) for name, value in zip(names, args, strict=False))
    return given, {name: fitted(name, value) for name, value in kwargs.items()}


def _require_same_lengths(axes: Mapping[str, list[str]], given: Mapping[str, Any]) -> None:
    """Refuse tensors of different lengths on an axis of the same name."""
    known: dict[str, tuple[str, int]] = {}
    for name in (name for name in axes if name in given):
        for axis, length in zip(axes[name], given[name].shape, strict=False):
            first, wanted = known.setdefault(axis, (name, length))
            if axis.isidentifier() and axis != "_" and length != wanted:
                got = f"got {length} where {first} has {wanted}"
                raise UserError(f"{name}: expected the same length on the axis {axis}, {got}")


def _fitted(value: Any, kind: Any, fit: Fitter, where: str) -> Any:
    try:
        return fit(value)
    except UnfitError:
        wanted, got = described(kind), said(value)
        if wanted == got:  # two classes of one name
            wanted, got = in_full(kind), in_full(type(value))
        raise UserError(f"{where}: expected {wanted}, got {got}") from None


def _refuse_infinite(value: Any, where: str) -> None:
    for number in value if isinstance(value, tuple) else (value,):
        if isinstance(number, float) and not math.isfinite(number):
            raise UserError(f"{where}: expected a finite number, got {number}")
