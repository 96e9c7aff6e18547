#!/usr/bin/python3
"""Send a file through the scope as a user would, and write what became of it as metrics.

``canary COMMANDS LOGIN@HOST PORT`` announces a file with new content, waits until it is reported,
gets it back by SFTP, compares and removes it.  COMMANDS is the directory of sr_post.  A failure is
one line on stderr, in the metrics, and the exit status 1.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

HOME = Path.home()
METRICS = Path(os.environ.get("RUNTIME_DIRECTORY", "/run/canary"), "canary.prom")
NAME = "canary"  # always the same, so that a failure leaves one file at most
SUCCESS = "scope_canary_success_timestamp_seconds"
SECONDS = "scope_canary_duration_seconds"
FAILED = "scope_canary_failed"
STEPS = ("post", "get", "compare", "remove")
HELP = {
    SUCCESS: "When the canary's last file was sent, reported, compared and removed.",
    SECONDS: "How long that took.",
    FAILED: "1: this step of the canary's last file failed.",
}


class StepError(Exception):
    """A step that failed, with the reason."""

    def __init__(self, step: str, reason: str) -> None:
        """``step`` is one of STEPS."""
        super().__init__(f"{step}: {reason}")
        self.step = step


def run(step: str, seconds: int, *command: str, text: str = "") -> None:
    """Run a command in the directory of the file; StepError with the last line of its errors."""
    try:
        done = subprocess.run(
            command,
            input=text,
            cwd=HOME / "files",
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise StepError(step, f"{Path(command[0]).name}: no end after {seconds} s") from None
    if done.returncode:
        lines = (done.stderr + done.stdout).strip().splitlines()
        raise StepError(step, lines[-1] if lines else f"exit status {done.returncode}")


def cross(commands: str, destination: str, port: str) -> None:
    """Send a file there and back; StepError where that fails."""
    content = os.urandom(4096)
    (HOME / "files" / NAME).write_bytes(content)
    received = HOME / "received"
    received.unlink(missing_ok=True)
    post = (f"{commands}/sr_post", "--quiet", "--wait", "--timeout", "45s", NAME)
    run("post", 60, *post)
    options = ("-o", "BatchMode=yes", "-o", "ConnectTimeout=15", "-o", "ServerAliveInterval=10")
    sftp = ("sftp", "-q", *options, "-P", port, "-b", "-", destination)
    run("get", 45, *sftp, text=f"get {NAME} {received}\n")
    if received.read_bytes() != content:
        raise StepError("compare", "the file that came back differs from the one that was sent")
    run("remove", 45, *sftp, text=f"rm {NAME}\n")


def last() -> dict[str, str]:
    """Return when the last file crossed and how long it took, if one has since the boot."""
    try:
        lines = METRICS.read_text().splitlines()
    except FileNotFoundError:
        return {}
    values = (line.split() for line in lines if not line.startswith(("#", FAILED)))
    return dict(values)


def write(values: dict[str, str], failed: str) -> None:
    """Write the metrics."""
    lines = []
    for name, value in values.items():
        lines += [f"# HELP {name} {HELP[name]}", f"# TYPE {name} gauge", f"{name} {value}"]
    lines += [f"# HELP {FAILED} {HELP[FAILED]}", f"# TYPE {FAILED} gauge"]
    lines += [f'{FAILED}{{step="{step}"}} {int(step == failed)}' for step in STEPS]
    part = METRICS.with_suffix(".part")
    part.write_text("\n".join(lines) + "\n")
    part.chmod(0o644)
    part.replace(METRICS)


def main() -> int:
    """Run the command."""
    values = last()
    begin = time.monotonic()
    try:
        cross(*sys.argv[1:4])
    except StepError as error:
        sys.stderr.write(f"the file did not cross: {error}\n")
        write(values, error.step)
        return 1
    values = {SUCCESS: str(int(time.time())), SECONDS: f"{time.monotonic() - begin:.1f}"}
    write(values, "")
    return 0


if __name__ == "__main__":
    sys.exit(main())
