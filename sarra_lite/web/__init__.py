"""The web page: what ``sr_monitor`` knows, for each user his own files."""
