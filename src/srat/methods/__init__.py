"""Methods: what a configuration's choices are called together, and the objective that they minimise."""

from srat.methods.table import METHODS, Method

__all__ = ["METHODS", "Method"]
