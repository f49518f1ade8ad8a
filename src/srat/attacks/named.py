"""Attacks by the names that tables use."""

import re
from dataclasses import asdict

from srat.attacks.autoattack import ReferenceAttack
from srat.attacks.base import Attack
from srat.attacks.fgsm import FGSM
from srat.attacks.natural import Natural
from srat.attacks.pgd import PGD
from srat.attacks.pgd_margin import PGDMargin
from srat.core.errors import require, unknown
from srat.core.members import members

_ITERATED: dict[str, type[PGD]] = {"pgd": PGD, "pgd-margin": PGDMargin}


def named(name: str, threat: PGD) -> Attack | ReferenceAttack:
    """Return the attack called ``name``.

    Args:
        name: "natural" (or "clean"), "fgsm", "pgd-N" or "pgd-margin-N" for any number of steps N ("pgd-margin" for
            those of ``threat``), "apgd-ce", "apgd-t", "fab-t", "square", "autoattack".
        threat: gives norm, budget, step size and restarts.

    Raises:
        UserError: if there is no such attack.
    """
    if name in ("natural", "clean"):
        return Natural()
    if name == "fgsm":
        require(threat.norm == "linf", f"fgsm: expected the norm linf, got {threat.norm}; use pgd-1")
        return FGSM(epsilon=threat.epsilon)
    if name in (reference := members(ReferenceAttack)):
        return reference[name](norm=threat.norm, epsilon=threat.epsilon)
    found = re.fullmatch(r"(pgd|pgd-margin)(?:-(\d{1,5}))?", name)
    if found is None or name == "pgd":
        raise unknown("attack", name, ("natural", "fgsm", "pgd-20", "pgd-N for any N", "pgd-margin", *reference))
    settings = asdict(threat) | ({"steps": int(found[2])} if found[2] else {})
    return _ITERATED[found[1]](**settings)
