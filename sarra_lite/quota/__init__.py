"""Bandwidth and volume quotas of groups: what ``sr_quota`` gives, counts and refuses."""
