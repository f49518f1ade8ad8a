"""Methods: names for rows of members, the paper's in a table, the field's a file each, and the objective, Eq. 7."""

from srat.methods.base import Method
from srat.methods.before import Before
from srat.methods.catalogue import methods
from srat.methods.protocol import Protocol, protocols
from srat.methods.table import METHODS

__all__ = ["METHODS", "Before", "Method", "Protocol", "methods", "protocols"]
