"""``python -m srat``"""

from srat.cli import entry

entry()
