"""Converts configurations of sr3 (metpx-sr3) for ``sr_config convert``."""
