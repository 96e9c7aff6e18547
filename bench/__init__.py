"""Measures, beside peers in one run: posts/s, small files/s, MB/s."""
