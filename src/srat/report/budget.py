"""An attack's budget, as people write it."""

from srat.attacks import AnyAttack


def budget_text(attack: AnyAttack) -> str:
    """Return norm and ε, such as "L∞, ε = 8/255"; nothing of an attack without them."""
    epsilon = getattr(attack, "epsilon", None)
    return "" if epsilon is None else budget_said(getattr(attack, "norm", "linf"), epsilon)


def budget_said(norm: str, epsilon: float) -> str:
    """Return norm and ε, of L∞ in 255ths where it is that."""
    parts = epsilon * 255
    whole = norm == "linf" and abs(parts - round(parts)) < 1e-6
    return f"{'L∞' if norm == 'linf' else 'L2'}, ε = {f'{round(parts)}/255' if whole else f'{epsilon:g}'}"
