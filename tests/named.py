"""Runs of every method by its name, on Step imbalance, where RobustLT's budgets are refused as they are shipped."""

from dataclasses import replace

from srat import compose
from srat.attacks.budgets import RobustLT


def of_method(method, **choices):
    """Return the configuration of a method."""
    config = compose(method=method, **choices)
    if isinstance(config.budget, RobustLT):
        return replace(config, budget=replace(config.budget, most=10.0))
    return config
