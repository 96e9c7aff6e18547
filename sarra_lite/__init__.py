"""Announce files over RabbitMQ, push them by SFTP in parallel blocks, report every one."""

from importlib.metadata import version

__version__ = version("sarra_lite")
