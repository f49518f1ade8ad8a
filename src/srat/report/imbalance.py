"""An imbalance in a word."""

from srat.data import Imbalance


def described(imbalance: Imbalance) -> str:
    """Return an imbalance in a word, such as "step-100"."""
    ratio = getattr(imbalance, "ratio", None)
    return imbalance.name + (f"-{ratio:g}" if ratio is not None else "")
