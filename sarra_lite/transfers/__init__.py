"""Where files are: what a user's own announcements, reports and queue tell of them."""
