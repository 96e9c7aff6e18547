"""Ansible module that compares what a running sshd was told with what a file tells it."""

from __future__ import annotations

import re
import shlex
from collections import defaultdict
from pathlib import Path
from typing import Any, Final

from ansible.module_utils.basic import AnsibleModule

DOCUMENTATION = """
module: drift_sshd
short_description: Tell how a running sshd differs from a file
description:
  - Asks sshd itself (C(sshd -T)) what the options of the running process mean, and what the file
    alone would mean.  An option on the command line, another file, or one that is included before
    is found so.  Only keywords of the file are compared.
options:
  unit: {description: The unit., type: str, required: true}
  config: {description: The file., type: path, required: true}
"""
TITLE: Final = re.compile(r"sshd: (.*) \[listener\]")
ALONE: Final = {"-D", "-e", "-q", "-d"}  # options that do not matter to what is configured
Found = list[dict[str, str]]


def options(title: str) -> list[str]:
    """Return the options of a running sshd, of the title that it gives its process."""
    match = TITLE.search(title)
    words = shlex.split(match[1]) if match else title.split("\0")
    return [word for word in words[1:] if word and word not in ALONE]


def keywords(text: str) -> set[str]:
    """Return the keywords of a configuration, up to the first Match."""
    found = set()
    for line in text.splitlines():
        word = line.strip().partition(" ")[0].lower()
        if word == "match":
            break
        if word and not word.startswith("#"):
            found.add(word)
    return found


def differences(unit: str, names: set[str], live: str, wanted: str) -> Found:
    """Return the keywords of which two outputs of C(sshd -T) have different values."""
    now, should = _values(live), _values(wanted)
    return [
        {"what": f"{unit}: {name}", "is": now.get(name, "not set"), "should": should[name]}
        for name in sorted(names)
        if name in should and now.get(name) != should[name]
    ]


def _values(output: str) -> dict[str, str]:
    found: defaultdict[str, list[str]] = defaultdict(list)
    for line in output.splitlines():
        name, _, value = line.partition(" ")
        found[name.lower()].append(value)
    return {name: ", ".join(sorted(values)) for name, values in found.items()}


def main() -> None:
    """Run as a module of Ansible."""
    module = AnsibleModule(
        argument_spec={
            "unit": {"type": "str", "required": True},
            "config": {"type": "path", "required": True},
        },
        supports_check_mode=True,
    )
    given: dict[str, Any] = module.params
    unit = given["unit"]
    _, pid, _ = module.run_command(["systemctl", "show", "--property=MainPID", "--value", unit])
    title = Path(f"/proc/{pid.strip()}/cmdline")
    if not title.exists():
        module.exit_json(found=[{"what": unit, "is": "does not run", "should": "running"}])
    words = options(title.read_text())
    _, live, _ = module.run_command(["/usr/sbin/sshd", "-T", *words], check_rc=True)
    _, wanted, _ = module.run_command(
        ["/usr/sbin/sshd", "-T", "-f", given["config"]], check_rc=True
    )
    names = keywords(Path(given["config"]).read_text())
    module.exit_json(found=differences(unit, names, live, wanted))


if __name__ == "__main__":
    main()
