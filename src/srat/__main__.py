"""The command line, as ``python -m srat``."""

from srat.cli import entry

entry()
