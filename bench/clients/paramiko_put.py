"""Sends a tree with paramiko and its defaults, one file at a time."""

from __future__ import annotations

import sys
from pathlib import Path

import paramiko

host, port, user, key, known_hosts, source, dest = sys.argv[1:]
with paramiko.SSHClient() as ssh:
    ssh.load_host_keys(known_hosts)
    ssh.connect(host, int(port), user, key_filename=key, allow_agent=False, look_for_keys=False)
    with ssh.open_sftp() as sftp:
        for path in Path(source).rglob("*"):
            if path.is_file():
                sftp.put(str(path), f"{dest}/{path.relative_to(source)}")
