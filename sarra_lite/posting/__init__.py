"""Posting: paths to announcements, announcements to the broker, and waiting for their reports."""
