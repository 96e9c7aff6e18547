"""Converts configurations of sr3 (metpx-sr3) into ours."""
