"""Scheduling in a sender: order, connection, report and acknowledgement of each announcement."""
