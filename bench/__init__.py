"""Benchmarks: compares announcements, small files and bytes per second with those of peers."""
