"""Intervals and tests, of counts alone."""
