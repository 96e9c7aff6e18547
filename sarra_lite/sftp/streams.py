"""Byte streams to the SFTP server of a host: through the ssh program, or through paramiko."""

from __future__ import annotations

from sarra_lite.sftp.openssh import Program, installed
from sarra_lite.sftp.paramiko_channel import Channel
from sarra_lite.sftp.target import Stream, Target

__all__ = ["Stream", "Target", "connect", "installed"]


def connect(target: Target) -> Stream:
    """Open a stream to the SFTP server of a host."""
    return Program(target) if target.program else Channel(target)
