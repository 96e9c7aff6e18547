"""Finds what changed below watched directories since it was announced."""
