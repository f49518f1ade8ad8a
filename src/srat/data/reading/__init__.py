"""Readers of the formats that data comes in, and the downloads."""
