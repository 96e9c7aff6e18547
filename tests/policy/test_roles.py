"""Roles follow the rules of roles/README.md, "How a role is made"."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
ROLES = sorted(path.parent.name for path in ROOT.glob("roles/*/meta"))
PHASES = ["preflight", "install", "configure", "service"]
# Rendered files that no program can check alone, with the check that replaces it or the reason.
UNCHECKED = {
    "broker_objects: Write when users end": "lines that the role makes",
    "alertmanager: Write the text of mails": "amtool reads it with the configuration",
    "node_exporter: Write the units that run it": "systemd loads both",
    "accounts: Write the limits of disk space, and of the size of files": "the schema of accounts",
    "accounts: Write the units that run it": "systemd loads both",
    "accounts: Write users, groups and keys": "the schema of the accounts file",
    "haproxy: Write the units that apply and check the rates": "systemd loads them",
    "haproxy: Allow binding to virtual addresses of another load balancer": "sysctl",
    "base: Let nobody open or link others' files in shared directories": "sysctl",
    "rabbitmq: Write the secret that members authenticate each other with": "a secret",
    "canary: Write the credentials": "sr_config check reads them with the configuration",
    "sarra_lite: Write the credentials": "sr_config check reads them with the configuration",
    "sarra_lite: Write which files are expected": "sr_config check reads it with the configuration",
    "source_host: Write the credentials": "sr_config check reads them with the configuration",
    "shared_fs: Refuse management connections without TLS": "empty",
    "shared_fs: Write the state of a server that the others know": "names and numbers",
    "sftp_server: Write the marks of accounts": "names and numbers",
    "sftp_server: Accept packets whose route back leads elsewhere": "sysctl",
}


def load(path: Path) -> Any:
    return yaml.safe_load(path.read_text())


def tasks(role: str) -> Iterator[dict[str, Any]]:
    """Yield the tasks of a role, including those in blocks."""
    for path in sorted(ROOT.glob(f"roles/{role}/tasks/*.yml")):
        yield from _flat(load(path))


def _flat(found: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    for task in found:
        yield task
        for part in ("block", "rescue", "always"):
            yield from _flat(task.get(part, []))


def load_if_there(path: Path) -> list[dict[str, Any]]:
    """Return the tasks in a file, none if it is not there."""
    return list(load(path)) if path.exists() else []


def plain(value: Any) -> Any:
    """Return a default with white space collapsed, so that YAML folding does not matter."""
    if isinstance(value, str):
        return " ".join(value.split())
    if isinstance(value, list):
        return [plain(item) for item in value]
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    return value


@pytest.mark.parametrize("role", ROLES)
def test_defaults_are_the_argument_specs(role: str) -> None:
    defaults = load(ROOT / f"roles/{role}/defaults/main.yml") or {}
    options = load(ROOT / f"roles/{role}/meta/argument_specs.yml")["argument_specs"]["main"][
        "options"
    ]
    said = {name: plain(option["default"]) for name, option in options.items()}
    assert said == {name: plain(value) for name, value in defaults.items()}
    for name, option in options.items():
        assert name.startswith(f"{role}_")
        assert option["type"]
        assert "".join(option["description"]).endswith("."), name


@pytest.mark.parametrize("role", ROLES)
def test_a_role_is_its_phases_in_order_each_with_its_tag(role: str) -> None:
    main = load(ROOT / f"roles/{role}/tasks/main.yml")
    names = [task["ansible.builtin.import_tasks"].removesuffix(".yml") for task in main]
    assert names == [phase for phase in PHASES if phase in names]
    assert names[0] == "preflight"
    tags = [f"{role}_{name}" for name in names[1:]]
    assert main[0]["tags"] == tags
    assert [task["tags"] for task in main[1:]] == [[tag] for tag in tags]


@pytest.mark.parametrize("role", ROLES)
def test_a_phase_alone_does_not_ask_what_an_earlier_one_has_found(role: str) -> None:
    """``--tags ROLE_configure`` leaves out what ``install`` registers."""
    of_install = {
        task["register"]
        for task in _flat(load_if_there(ROOT / f"roles/{role}/tasks/install.yml"))
        if "register" in task
    }
    for path in ROOT.glob(f"roles/{role}/tasks/*.yml"):
        for line in path.read_text().splitlines() if path.stem != "install" else []:
            if of_install & {*re.findall(r"\w+", line)}:
                assert "default" in line or "defined" in line, f"{path}: {line}"


@pytest.mark.parametrize("role", ROLES)
def test_every_configuration_is_checked_before_it_is_put_in_place(role: str) -> None:
    for task in tasks(role):
        copied = task.get("ansible.builtin.copy", {})
        rendered = task.get("ansible.builtin.template") or ("content" in copied and copied)
        if rendered and f"{role}: {task['name']}" not in UNCHECKED:
            assert "%s" in rendered.get("validate", ""), task["name"]


def test_no_exception_is_left_over() -> None:
    names = {f"{role}: {task['name']}" for role in ROLES for task in tasks(role)}
    assert names >= UNCHECKED.keys()


@pytest.mark.parametrize("role", ROLES)
def test_no_service_is_restarted_by_a_shell(role: str) -> None:
    for task in tasks(role):
        text = str(task.get("ansible.builtin.shell") or task.get("ansible.builtin.command") or "")
        assert not re.search(r"systemctl\s+(-\S+\s+)*(re)?(start|load)", text), task["name"]


@pytest.mark.parametrize("role", ROLES)
def test_templates_say_that_they_are_ansibles(role: str) -> None:
    whole = {".conf", ".cfg", ".service", ".toml", ".mount"}
    for path in ROOT.glob(f"roles/{role}/templates/*.j2"):
        if path.with_suffix("").suffix in whole:
            text = path.read_text()
            head = text.split("\n", 2)[1] if text.startswith("#!") else text.split("\n", 1)[0]
            assert head == "{{ ansible_managed | comment }}", path


@pytest.mark.parametrize("role", ROLES)
def test_secrets_are_not_shown(role: str) -> None:
    secret = re.compile(r"credentials|cookie|passwords")
    for task in tasks(role):
        rendered = task.get("ansible.builtin.template") or task.get("ansible.builtin.copy")
        if rendered and secret.search(str(rendered)):
            assert task.get("no_log"), task["name"]


@pytest.mark.parametrize("role", ROLES)
def test_a_role_uses_no_variable_of_another(role: str) -> None:
    allowed = {"pki_certificate_dir"} if role in {"rabbitmq", "haproxy"} else set()
    theirs = {
        name: other
        for other in ROLES
        if other != role
        for name in load(ROOT / f"roles/{other}/defaults/main.yml") or {}
    }
    for path in ROOT.glob(f"roles/{role}/**/*"):
        if path.suffix in {".yml", ".j2"} and "README" not in path.name:
            words = set(re.findall(r"\b[a-z_]+\b", path.read_text()))
            assert not words & theirs.keys() - allowed, path


@pytest.mark.parametrize("role", ROLES)
def test_a_readme_is_short_names_every_variable_and_helps_when_it_fails(role: str) -> None:
    text = (ROOT / f"roles/{role}/README.md").read_text()
    assert len(text.splitlines()) < 60
    assert "## When it does not work" in text
    for name in load(ROOT / f"roles/{role}/defaults/main.yml") or {}:
        parts = name.split("_")
        short = {"…_" + "_".join(parts[start:]) for start in range(1, len(parts))}
        assert f"`{name}`" in text or any(f"`{form}`" in text for form in short), name


def test_the_list_of_roles_is_complete() -> None:
    listed = re.findall(r"^\| \[(\w+)\]", (ROOT / "roles/README.md").read_text(), re.MULTILINE)
    assert sorted(listed) == ROLES
