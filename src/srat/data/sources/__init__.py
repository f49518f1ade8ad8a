"""Data sources (a file each)."""

from srat.core.members import import_members

import_members(__name__)
