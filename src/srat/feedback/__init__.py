"""What training tells of the classes: statistics that a member gathers, and a factor for each class that they give."""

from srat.feedback.base import Feedback, HeldOut, check_start, first_epoch
from srat.feedback.similarity import SimilarityFeedback, similarity_factors

__all__ = ["Feedback", "HeldOut", "SimilarityFeedback", "check_start", "first_epoch", "similarity_factors"]
