"""What users may do with what is made, and what the module rabbitmq_objects deletes."""

from __future__ import annotations

import json
import re
import runpy
from pathlib import Path
from typing import Any, Final

import pytest
from jinja2 import Environment, StrictUndefined

ROOT = Path(__file__).parents[2]
MODULE: Final = runpy.run_path(
    str(ROOT / "roles/broker_objects/library/rabbitmq_objects.py"), run_name="module"
)
GIVEN: Final = {"user_prefix": "u", "exchange_prefix": "xac_"}
NOTHING: Final[dict[str, Any]] = {"users": [], "exchanges": []}


def broker(user: str, tags: list[str], allowed: str, **more: Any) -> dict[str, Any]:
    """Return what a broker with one user exports."""
    kinds = ("configure", "write", "read")
    row = {"user": user, "vhost": "/", **dict.fromkeys(kinds, allowed)}
    return {"users": [{"name": user, "tags": tags}], "permissions": [row], **more}


def exchange(name: str, bound_to: str) -> dict[str, Any]:
    """Return an exchange and its binding, as a broker exports them."""
    return {
        "exchanges": [{"name": name, "type": "topic"}],
        "bindings": [{"source": name, "destination": bound_to}],
    }


def removed(live: dict[str, Any], wanted: dict[str, Any] = NOTHING) -> dict[str, list[str]]:
    found: dict[str, list[str]] = MODULE["unwanted"](wanted, live, GIVEN)
    return found


@pytest.mark.parametrize(
    ("user", "tags", "allowed"),
    [
        ("uptimekuma", [], ".*"),
        ("uptimekuma", ["monitoring"], "^(q_uptimekuma[._].*|xac_ptimekuma)$"),
        ("unoc", [], "^(q_ubob[._].*|xac_bob)$"),
        ("admin", ["administrator"], ".*"),
    ],
)
def test_a_user_whom_others_have_made_stays(user: str, tags: list[str], allowed: str) -> None:
    assert removed(broker(user, tags, allowed))["users"] == []


@pytest.mark.parametrize("tags", [["scope"], []], ids=["tagged", "made before there were tags"])
def test_a_user_of_the_scope_goes_with_the_account(tags: list[str]) -> None:
    live = broker("ubob", tags, "^(q_ubob[._].*|xac_bob)$")
    assert removed(live)["users"] == ["ubob"]
    assert removed(live, {"users": [{"name": "ubob"}], "exchanges": []})["users"] == []


def test_guest_goes() -> None:
    assert removed(broker("guest", ["administrator"], ".*"))["users"] == ["guest"]


@pytest.mark.parametrize(
    ("name", "bound_to", "goes"),
    [("xac_bob", "q_src2log", True), ("xac_other", "q_other", False), ("xs", "q_src2log", False)],
)
def test_only_exchanges_of_the_scope_go(name: str, bound_to: str, *, goes: bool) -> None:
    assert removed(exchange(name, bound_to))["exchanges"] == ([name] if goes else [])


def test_an_exchange_of_another_type_is_made_anew_with_its_bindings() -> None:
    live = exchange("xac_bob", "q_src2log")
    live["exchanges"][0]["type"] = "fanout"
    wanted = {"exchanges": [{"name": "xac_bob", "type": "topic"}]}
    assert MODULE["without_others"](wanted, live) == ["xac_bob"]
    assert live == {"exchanges": [], "bindings": []}


def test_a_group_without_a_rate_loses_its_queue_of_grants_and_the_limit_of_it() -> None:
    bound = ("grant_cloudmech", "grant_gone", "q_quota")
    rows = [("operator_policy", name) for name in bound] + [("shovel", "grant_by_others")]
    live = {
        "bindings": [{"source": "xgrant", "destination": name} for name in bound]
        + [{"source": "xother", "destination": "grant_by_others"}],
        "parameters": [{"component": kind, "name": name} for kind, name in rows],
    }
    kept = {"queues": [{"name": "grant_cloudmech"}], "parameters": [{"name": "grant_cloudmech"}]}
    gone = removed(live, NOTHING | kept)
    assert gone["queues"] == ["grant_gone"]
    assert gone["parameters"] == ["grant_gone"]


def rendered() -> dict[str, Any]:
    """Return the objects of a scope with the users ann, ann2 and bob."""
    environment = Environment(undefined=StrictUndefined, autoescape=False)  # noqa: S701  JSON
    environment.filters |= {"to_json": json.dumps, "regex_escape": re.escape}
    path = ROOT / "roles/broker_objects/templates/objects.json.j2"
    names = {name: f"u{name}" for name in ("src2log", "netops", "quota")}
    values: dict[str, Any] = {f"{name}_user": user for name, user in names.items()} | {
        "user_prefix": "u", "exchange_prefix": "xac_", "users": ["ann", "ann2", "bob"],
        "queues": ["default"], "user_queues": {}, "queue_max_bytes": 1, "queue_max_length": 1,
        "report_max_age": "30D", "report_max_bytes": 10**9, "grant_queues": {"ann": "grant_g"},
        "grants": [{"name": "g", "queue": "grant_g", "length": 20}], "max_connections": 1,
        "max_channels": 1, "src2log_max_bytes": 1,
    }  # fmt: skip
    text = environment.from_string(path.read_text()).render(
        {f"broker_objects_{name}": value for name, value in values.items()},
        __broker_objects_all_users=["uann", "uann2", "ubob", *names.values()],
        __broker_objects_scope_users=list(names.values()),
        __broker_objects_user_queue="^q_u[a-z][a-z0-9]*[._]",
    )
    return dict(json.loads(text))


def test_each_user_is_told_his_own_usage_and_only_sr_quota_can_tell_it() -> None:
    objects = rendered()
    told = [row for row in objects["bindings"] if row["source"] == "xusage"]
    assert {(row["destination_type"], row["destination"], row["routing_key"]) for row in told} == {
        ("exchange", f"xac_{name}", f"usage.u{name}") for name in ("ann", "ann2", "bob")
    }
    assert "xusage" in {row["name"] for row in objects["exchanges"]}
    allowed = {
        (row["user"], kind)
        for row in objects["permissions"]
        for kind in ("configure", "write", "read")
        if re.search(row[kind], "xusage")
    }
    assert allowed == {("uquota", "write")}
    by_others = {
        row["user"] for row in objects["permissions"] if re.search(row["write"], "xac_ann")
    }
    assert by_others == {"uann"}
