"""From paths on disk to confirmed announcements, and waiting for their reports."""
