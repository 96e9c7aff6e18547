"""The end of ``make scope``: Earnest's files cross to the scope in containers, before your eyes.

He is at EC, where nobody can connect to.  His senders run there as units; everything that he and
the operator type is shown, and every byte is compared on every node.
"""

from __future__ import annotations

import argparse
import os
import ssl
import sys
import time
from pathlib import Path
from typing import Final

import yaml

from tests.lab import LabError
from tests.lab.demo_stage import Person, Stage, complain
from tests.lab.web_page import history

ROOT: Final = Path(__file__).parents[2]
_INVENTORY: Final = "inventories/lab"
_WATCHER: Final = "svrmon1"
_SOURCE: Final = "svrEC-Burlington"
_HOME: Final = "/srv/sftp/home/ear001/incoming"
_SMALL_FILES: Final = 50
_SUMS: Final = 'cd "$0" && find . -type f -print0 | sort -z | xargs -0 sha256sum'


def person(host: str, user: str, *, seen: bool = False) -> Person:
    """Return somebody at a host of the lab, in his home; ``seen``: he sees progress."""
    terminal = ("--tty",) if seen and sys.stdout.isatty() else ()
    there = ("podman", "exec", *terminal, f"sarra-{host}", "runuser", "-u", user, "--")
    environment = os.environ | {"CONTAINERS_CONF": str(ROOT / "molecule/containers.conf")}
    return Person(
        f"{user}@{host}", ROOT, environment, (*there, "sh", "-c", 'cd ~ && exec "$0" "$@"')
    )


def nodes() -> list[str]:
    """Return the SFTP nodes of the lab."""
    hosts = yaml.safe_load((ROOT / _INVENTORY / "hosts.yml").read_text())
    return list(hosts["sftp_nodes"]["hosts"])


def make_files(stage: Stage, earnest: Person, size: str) -> str:
    """Make the tree to send; return its name."""
    name = f"model-{int(time.time())}"
    stage.section("Files", f"One of {size} that is sent in blocks, {_SMALL_FILES} small ones.")
    stage.ask(
        earnest,
        "sh",
        "-c",
        f'mkdir -p {name}/small && head -c "$0" /dev/urandom > {name}/big.bin &&'
        f" for n in $(seq {_SMALL_FILES}); do echo $n > {name}/small/$n.txt; done",
        size,
    )
    stage.run(earnest, "ls", "-l", name)
    return name


def transfer(stage: Stage, name: str) -> None:
    """Announce the tree and wait until all of it is reported."""
    stage.section(
        "The transfer",
        "Announced through one virtual address, pushed by SFTP through the other; AMQPS and SSH,"
        " both outwards.",
    )
    earnest = person(_SOURCE, "earnest", seen=True)
    began = time.monotonic()
    stage.run(earnest, "sr_post", "--wait", "--timeout", "10m", "--block-size", "128Mi", name)
    stage.good(f"all reported {time.monotonic() - began:.1f} s after sr_post was typed")


def compare(stage: Stage, earnest: Person, name: str) -> None:
    """Compare SHA-256 of every file on every node; LabError where one differs."""
    stage.section("Every byte", f"SHA-256 of {name}/big.bin at EC and on every SFTP node.")
    sent = _sums(stage, earnest, name)
    for node in nodes():
        if _sums(stage, person(node, "root"), f"{_HOME}/{name}") != sent:
            raise LabError(f"files on {node} are not those of {_SOURCE}")
    stage.good(f"{len(sent)} files, the same at EC and on {', '.join(nodes())}")


def _sums(stage: Stage, who: Person, directory: str) -> list[str]:
    """Return a line of sha256sum for each file; show that of the large one."""
    lines = stage.ask(who, "sh", "-c", _SUMS, directory).splitlines()
    large = next(line.split()[0] for line in lines if line.endswith("/big.bin"))
    stage.say(f"{large}  {who.prompt}:{directory}")
    return lines


def reports(stage: Stage, name: str) -> None:
    """Show what the operators see."""
    stage.section("Reports", f"Operators read all users' reports on {_WATCHER}.")
    stage.run(person(_WATCHER, "root"), "sr_log", "--since", "1h", f"{name}/big.bin")


def page(stage: Stage, name: str) -> None:
    """Look for the large file at the page as Earnest, and say how to log in there."""
    variables = yaml.safe_load((ROOT / _INVENTORY / "group_vars/all/10-lab.yml").read_text())
    address = f"https://{variables['scope_broker_vip']}/"
    passwords = yaml.safe_load((ROOT / _INVENTORY / "group_vars/all/secrets.yml").read_text())
    known = passwords["scope_broker_passwords"]
    stage.section("The page", f"What became of the files, in a browser of this machine: {address}")
    trust = ssl.create_default_context(cafile=ROOT / _INVENTORY / "secrets/pki/ca.pem")
    if f"{name}/big.bin" not in history(address, trust, "uearnest", known["uearnest"]):
        raise LabError(f"{address} does not show {name}/big.bin to uearnest")
    stage.good(f"uearnest sees {name}/big.bin there")
    stage.say(f"{address} asks for a login:")
    for user, sees in (("uearnest", "his own files"), ("unetops", "those of all users")):
        stage.say(f"  {user:<10} {known[user]:<40} sees {sees}")
    stage.say(f"The browser trusts it with {_INVENTORY}/secrets/pki/ca.pem as an authority.")


def say_what_next(stage: Stage) -> None:
    """Print what one would type now."""
    stage.heading("The scope stands, until make scope-down. What next?")
    play = f"ansible-playbook -i {_INVENTORY} playbooks"
    at = "podman exec -it sarra"
    lines = {
        "export PATH=$PWD/.venv/bin:$PATH CONTAINERS_CONF=$PWD/molecule/containers.conf": "",
        f"{play}/site.yml": "again: changes nothing",
        f"{play}/status.yml": "who is up, where clients are, what waits",
        f"{play}/drain.yml -e node=svrsftp2": "take a node out; -e state=ready puts it back",
        f"{play}/switchover.yml -e to=svrsftpB2": "move the clients to the other broker",
        f"{at}-{_WATCHER} sr_log --follow": "reports as they come",
        f"{at}-{_SOURCE} su - earnest": "be Earnest: sr_post --wait FILE",
        f"pytest tests/scope --ansible-inventory {_INVENTORY}": "the specification",
        "make scope-down": "remove it all",
    }
    for command, text in lines.items():
        stage.say(f"{command:<78} {text}".rstrip())


def main() -> int:
    """Run the transfer; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--size", default="2G", help="of the large file (default: 2G)")
    size = parser.parse_args().size
    stage = Stage(ROOT)
    earnest = person(_SOURCE, "earnest")
    try:
        name = make_files(stage, earnest, size)
        transfer(stage, name)
        compare(stage, earnest, name)
        reports(stage, name)
        page(stage, name)
    except LabError as error:
        complain(str(error), "scope")
        return 1
    say_what_next(stage)
    return 0


if __name__ == "__main__":
    sys.exit(main())
