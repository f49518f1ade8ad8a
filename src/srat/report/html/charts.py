"""Curves as coordinates: the templates draw them."""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass

WIDTH, HEIGHT = 560.0, 220.0
LEFT, RIGHT, TOP, BOTTOM = 46.0, 10.0, 10.0, 26.0
"""Margins, for the numbers at the axes."""


@dataclass(frozen=True, kw_only=True)
class Series:
    """A number for each epoch; NaN where it has none."""

    name: str
    values: Sequence[float]
    low: Sequence[float] = ()
    """The lower end of its interval, where it has one."""
    high: Sequence[float] = ()


@dataclass(frozen=True, kw_only=True)
class Curve:
    """A series as paths within the chart."""

    series: Series
    line: str
    band: str
    """Around the line, from the lower to the upper end of the intervals; empty without."""
    alone: Sequence[tuple[float, float]]
    """Points without a neighbour, of which a line shows nothing."""

    @property
    def summary(self) -> str:
        """Where it begins and ends."""
        there = [value for value in self.series.values if math.isfinite(value)]
        return f"from {there[0]:.3g} to {there[-1]:.3g}" if there else "has no numbers"


@dataclass(frozen=True, kw_only=True)
class Tick:
    """A number at an axis."""

    at: float
    text: str


@dataclass(frozen=True, kw_only=True)
class Mark:
    """Something that happens at the start of an epoch."""

    at: float
    text: str


@dataclass(frozen=True, kw_only=True)
class Chart:
    """Curves over the epochs."""

    width = WIDTH
    height = HEIGHT
    left, right, top, bottom = LEFT, RIGHT, TOP, BOTTOM
    title: str
    unit: str
    curves: Sequence[Curve]
    across: Sequence[Tick]
    up: Sequence[Tick]
    marks: Sequence[Mark]
    epochs: int

    @property
    def hover(self) -> str:
        """What is shown of an epoch that is pointed at, as JSON."""
        shown = [
            {
                "name": curve.series.name,
                "values": [float(f"{value:.5g}") if math.isfinite(value) else None for value in curve.series.values],
            }
            for curve in self.curves
        ]
        return json.dumps(shown, ensure_ascii=False)


def chart(title: str, unit: str, series: Sequence[Series], *, marks: Sequence[tuple[int, str]] = ()) -> Chart:
    """Return the chart of some series.

    Args:
        title: what it shows.
        unit: put behind each number, such as " %".
        series: of the same length.
        marks: epochs, counted from 0, at which something begins, and what.
    """
    epochs = len(series[0].values)
    numbers = [
        value
        for one in series
        for values in (one.values, one.low, one.high)
        for value in values
        if math.isfinite(value)
    ]
    low, high = bounds(numbers)
    steps = ticks(low, high)
    low, high = min(low, steps[0]), max(high, steps[-1])

    def x(epoch: float) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * (epoch / max(1, epochs - 1))

    def y(value: float) -> float:
        return TOP + (HEIGHT - TOP - BOTTOM) * (1 - (value - low) / (high - low))

    def point(epoch: int, value: float) -> str:
        return f"{x(epoch):.1f},{y(value):.1f}"

    curves = []
    for one in series:
        stretches = _stretches(one.values)
        line = "".join(f"M{' L'.join(point(epoch, one.values[epoch]) for epoch in each)}" for each in stretches)
        alone = [(x(each[0]), y(one.values[each[0]])) for each in stretches if len(each) == 1]
        bands = [
            [point(epoch, one.high[epoch]) for epoch in each]
            + [point(epoch, one.low[epoch]) for epoch in reversed(each)]
            for each in (_stretches([low + high for low, high in zip(one.low, one.high, strict=True)]))
        ]
        band = "".join(f"M{' L'.join(points)}Z" for points in bands)
        curves.append(Curve(series=one, line=line, band=band, alone=alone))
    whole = sorted({round(tick) for tick in ticks(1, max(2, epochs)) if 1 <= round(tick) <= epochs} | {1, epochs})
    return Chart(
        title=title,
        unit=unit,
        curves=curves,
        across=[Tick(at=x(epoch - 1), text=f"{epoch}") for epoch in _apart(whole, epochs)],
        up=[Tick(at=y(step), text=f"{step:g}") for step in steps],
        marks=[Mark(at=x(epoch - 0.5), text=text) for epoch, text in marks if 0 < epoch < epochs],
        epochs=epochs,
    )


def _stretches(values: Sequence[float]) -> list[list[int]]:
    """Return the epochs that have a number, those in a row together."""
    found: list[list[int]] = []
    for epoch in (epoch for epoch, value in enumerate(values) if math.isfinite(value)):
        if found and found[-1][-1] == epoch - 1:
            found[-1].append(epoch)
        else:
            found.append([epoch])
    return found


def _apart(epochs: Sequence[int], most: int) -> list[int]:
    """Return the epochs whose numbers do not touch the last one's."""
    return [epoch for epoch in epochs if epoch == most or most - epoch >= 0.06 * most]


def bounds(numbers: Sequence[float]) -> tuple[float, float]:
    """Return a range that holds the numbers, 0 among them if they are not below it."""
    low, high = min([*numbers, 0.0]), max([*numbers, 0.0])
    return (low, high) if high > low else (low, low + 1.0)


def ticks(low: float, high: float, count: int = 5) -> list[float]:
    """Return about so many round numbers from at most ``low`` to at least ``high``: steps of 1, 2 or 5 by tens."""
    rough = (high - low) / count
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough * (1 - 1e-9))
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(number * step, 12) for number in range(first, last + 1)]
