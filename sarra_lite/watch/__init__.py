"""Detects what changed below watched directories since it was announced, for sr_post --watch.

``inotify`` reports events, ``completion`` decides when a file is complete, ``diff`` compares the
disk with the ``ledger`` of announced versions, ``removals`` refuses to take for removed what is
only absent, and ``watcher`` yields the changes to announce.
"""
