"""Attacks by the names that tables use."""

import re
from dataclasses import replace

from srat.attacks.base import Attack
from srat.attacks.fgsm import FGSM
from srat.attacks.natural import Natural
from srat.attacks.pgd import PGD
from srat.errors import require, unknown


def named(name: str, threat: PGD) -> Attack:
    """Return the attack called ``name``: "natural" (or "clean"), "fgsm", or "pgd-N" for any number of steps N.

    Args:
        name: the name.
        threat: gives norm, budget, step size and restarts.

    Raises:
        UserError: if there is no such attack.
    """
    if name in ("natural", "clean"):
        return Natural()
    if name == "fgsm":
        require(threat.norm == "linf", f"fgsm: expected the norm linf, got {threat.norm}; use pgd-1")
        return FGSM(epsilon=threat.epsilon)
    steps = re.fullmatch(r"pgd-(\d{1,5})", name)
    if steps is None:
        raise unknown("attack", name, ("natural", "fgsm", "pgd-10", "pgd-20", "pgd-N for any N"))
    return replace(threat, steps=int(steps[1]))
