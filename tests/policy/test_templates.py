"""Templates that list all accounts take a time that grows with their number, not its square."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from jinja2 import Environment, nodes

ROOT = Path(__file__).parents[2]
# Templates that loop over users, or could.
LISTS = sorted(
    path
    for path in ROOT.glob("roles/*/templates/*.j2")
    if re.search(r"\{% for .*(accounts|users)", path.read_text())
)


@pytest.mark.parametrize("path", LISTS, ids=lambda path: f"{path.parts[-3]}/{path.name}")
def test_a_loop_over_users_evaluates_no_variable_of_the_inventory_anew(path: Path) -> None:
    """Ansible evaluates a variable each time that Jinja resolves its name: so not in a loop."""
    environment = Environment(autoescape=True)
    tree = environment.parse(path.read_text())
    for node in tree.find_all((nodes.Filter, nodes.Test)):
        known = environment.filters if isinstance(node, nodes.Filter) else environment.tests
        known.setdefault(node.name, lambda value: value)  # Ansible's or a role's
    code = environment.compile(tree, raw=True)
    assert re.findall(r" l_[1-9]\d*_(\w+) = resolve\(", code) == []


def test_there_are_templates_that_list_users() -> None:
    assert {path.name for path in LISTS} >= {"objects.json.j2", "passwd.j2", "marks.j2"}
