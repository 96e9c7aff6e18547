"""Carries out one announcement at one destination: content, links, removals."""
