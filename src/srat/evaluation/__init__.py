"""What becomes of each image, counts per class, groups, intervals, and the files that hold them."""

from srat.evaluation.counts import Counts
from srat.evaluation.evaluate import count, evaluate, examine
from srat.evaluation.examples import Examples, Origin
from srat.evaluation.groups import Groups, groups
from srat.evaluation.intervals import Accuracy, wilson
from srat.evaluation.journal import FileJournal, Journal
from srat.evaluation.outcome import Outcome
from srat.evaluation.record import CLEAN, Evaluation, Result, describe_attack, summary
from srat.evaluation.serving import BATCH_SIZE, served

__all__ = [
    "BATCH_SIZE",
    "CLEAN",
    "Accuracy",
    "Counts",
    "Evaluation",
    "Examples",
    "FileJournal",
    "Groups",
    "Journal",
    "Origin",
    "Outcome",
    "Result",
    "count",
    "describe_attack",
    "evaluate",
    "examine",
    "groups",
    "served",
    "summary",
    "wilson",
]
