"""An attack's budget, as people write it."""

from srat.attacks import AnyAttack


def budget_text(attack: AnyAttack) -> str:
    """Return norm and ε, such as "L∞, ε = 8/255"; nothing of an attack without them."""
    epsilon, norm = getattr(attack, "epsilon", None), getattr(attack, "norm", "linf")
    if epsilon is None:
        return ""
    parts = epsilon * 255
    whole = norm == "linf" and abs(parts - round(parts)) < 1e-6
    return f"{'L∞' if norm == 'linf' else 'L2'}, ε = {f'{round(parts)}/255' if whole else f'{epsilon:g}'}"
