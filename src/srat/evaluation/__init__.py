"""Counts per class, groups, intervals, and evaluation.json."""

from srat.evaluation.counts import Counts, count
from srat.evaluation.evaluate import evaluate, evaluate_all
from srat.evaluation.groups import Groups, groups
from srat.evaluation.intervals import Accuracy, wilson
from srat.evaluation.record import CLEAN, Evaluation, Result, summary

__all__ = [
    "CLEAN",
    "Accuracy",
    "Counts",
    "Evaluation",
    "Groups",
    "Result",
    "count",
    "evaluate",
    "evaluate_all",
    "groups",
    "summary",
    "wilson",
]
