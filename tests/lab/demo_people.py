"""The two users of the demo: Earnest, who sends files, and an operator, who reads reports."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tests.lab.demo_stage import Person, environment
from tests.lab.rabbitmq import User
from tests.lab.site import BIN

if TYPE_CHECKING:
    from pathlib import Path

    from tests.lab.rabbitmq import Rabbit
    from tests.lab.site import Site

_OWN: Final = "q_src2log|q_xlog|xlog"  # queues and exchange of sr_src2log
_CONFIGURATIONS: Final = {
    "src2log": 'broker = "{broker}"\nexchanges = ["xac_earnest"]\n',
    "log": 'broker = "{broker}"\n',
}


def earnest(site: Site) -> Person:
    """Return the user of a site."""
    return _person("earnest@ec", site.directory)


def operator(rabbit: Rabbit, home: Path) -> Person:
    """Create the broker user of sr_src2log with its permissions and configuration."""
    own, read = f"^({_OWN})$", f"^({_OWN}|xac_[a-z0-9]+)$"
    user = User("usrc2log", rabbit.admin_password, own, own, read)
    rabbit.add_users(user)
    config = home / "config" / "sarra_lite"
    for component, text in _CONFIGURATIONS.items():
        (config / component).mkdir(parents=True)
        (config / component / "default.toml").write_text(text.format(broker=rabbit.url(user.name)))
    credentials = config / "credentials.conf"
    credentials.touch(mode=0o600)
    credentials.write_text(rabbit.url(user.name, user.password) + "\n")
    return _person("ops@science", home)


def shell_setup(person: Person) -> str:
    """Return the shell commands that make another terminal this user's."""
    config, state = person.env["XDG_CONFIG_HOME"], person.env["XDG_STATE_HOME"]
    return (
        f"cd {person.directory}\n"
        f'export PATH="{BIN}:$PATH" XDG_CONFIG_HOME={config} XDG_STATE_HOME={state}\n'
    )


def _person(prompt: str, home: Path) -> Person:
    return Person(prompt, home, environment(home / "config", home / "state"))
