"""Sends a tree with the SFTP class of sr3, without a broker: each file, then a rename to its name.

The checks and callbacks that sr3 runs for each file are omitted, which makes it faster than sr3.
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

host, port, user, key, known_hosts, source, dest = sys.argv[1:]
with tempfile.TemporaryDirectory() as home:
    # sr3 reads this variable when it is imported.
    os.environ["XDG_CONFIG_HOME"] = home
    url = f"sftp://{user}@{host}:{port}/"
    credentials = Path(home, "sr3", "credentials.conf")
    credentials.parent.mkdir()
    credentials.touch(mode=0o600)
    credentials.write_text(f"{url} ssh_keyfile={key}\n")

    from sarracenia.config import default_config
    from sarracenia.transfer.sftp import Sftp

    options = default_config()
    options.credentials.read(str(credentials))
    options.sendTo = url
    options.logLevel = "error"
    sftp = Sftp("sftp", options)
    if not sftp.connect():
        sys.exit("not connected")
    for directory in {path.parent for path in Path(source).rglob("f*")}:
        sftp.cd(f"{dest}/{directory.relative_to(source)}")
        os.chdir(directory)
        for path in directory.iterdir():
            sftp.put(None, path.name, f"{path.name}.tmp")
            sftp.rename(f"{path.name}.tmp", path.name)
    sftp.close()
