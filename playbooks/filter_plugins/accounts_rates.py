"""Ansible filters that return rates and volumes of groups in the accounts file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable

_UNITS: Final = {"kbit/s": 10**3, "Mbit/s": 10**6, "Gbit/s": 10**9}
# Marks (DSCP, six bits): 0 is no mark, and this one is of accounts without a rate.
NO_RATE: Final = 63
GRANTS_PER_SECOND: Final = 20  # that sr_quota gives a group
LEAST: Final = 8000  # bits per second that sr_quota can give
BURST: Final = "1 s"  # of a group that has none


def bits_per_second(text: str) -> int:
    """Return the bits per second of a rate like ``100 Mbit/s``, as the schema permits them."""
    number, _, unit = text.partition(" ")
    return int(float(number) * _UNITS[unit])


def seconds(text: str) -> int:
    """Return the seconds of a burst like ``20 s``."""
    return int(text.partition(" ")[0])


def accounts_rates(accounts: dict[str, list[dict[str, Any]]]) -> list[dict[str, Any]]:
    """Return name, mark and bits per second of each group that has a rate, in order of marks.

    With ``burst``: the seconds for which a group that has one may save what it does not use.

    The mark follows from the gid, so that it stays the same when other groups come and go, unless
    two groups want the same one: then the one with the larger gid takes the next that is free.
    """
    marks: dict[int, dict[str, Any]] = {}
    limited = [group for group in accounts["groups"] if "rate" in group]
    for group in sorted(limited, key=lambda each: int(each["gid"]))[: NO_RATE - 1]:
        mark = int(group["gid"]) % (NO_RATE - 1)
        while mark + 1 in marks:
            mark = (mark + 1) % (NO_RATE - 1)
        bits = bits_per_second(group["rate"])
        marks[mark + 1] = {"name": group["name"], "mark": mark + 1, "bits": bits}
        if "burst" in group:
            marks[mark + 1]["burst"] = seconds(group["burst"])
    return [marks[mark] for mark in sorted(marks)]


def accounts_rates_mistakes(accounts: dict[str, list[dict[str, Any]]]) -> list[str]:
    """Return a line for each rate that is too low, and if more groups have one than marks."""
    limited = [group for group in accounts["groups"] if "rate" in group]
    lines = [
        f"accounts.groups: rate {group['rate']} of {group['name']} is below 8 kbit/s"
        for group in limited
        if bits_per_second(group["rate"]) < LEAST
    ]
    if len(limited) >= NO_RATE:
        count = len(limited)
        lines.append(f"accounts.groups: {count} groups have a rate, at most {NO_RATE - 1} can")
    return lines


def accounts_grant_queues(accounts: dict[str, list[dict[str, Any]]]) -> dict[str, str]:
    """Return by user the queue from which senders take grants, if the user's group has a rate."""
    limited = {group["name"] for group in accounts["groups"] if "rate" in group}
    return {
        user["name"]: f"grant_{user['group']}"
        for user in accounts["users"]
        if "revoked" not in user and user.get("group") in limited
    }


def accounts_grants(accounts: dict[str, list[dict[str, Any]]]) -> list[dict[str, Any]]:
    """Return queue, its length in grants, and the options of sr_quota of each group with a rate.

    A group without members has no volume.
    """
    used = set(accounts_grant_queues(accounts).values())
    found = []
    for group in accounts["groups"]:
        if "rate" not in group:
            continue
        queue, burst = f"grant_{group['name']}", group.get("burst", BURST)
        options = {"rate": group["rate"], "burst": burst}
        for key, option in (("daily_volume", "dailyVolume"), ("monthly_volume", "monthlyVolume")):
            if key in group and queue in used:
                options[option] = group[key]
        length = seconds(burst) * GRANTS_PER_SECOND
        found.append({"name": group["name"], "queue": queue, "length": length, "options": options})
    return found


class FilterModule:
    """The filters of this plugin, for Ansible."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Return the filters by their names in templates."""
        return {
            "accounts_rates": accounts_rates,
            "accounts_rates_mistakes": accounts_rates_mistakes,
            "accounts_grants": accounts_grants,
            "accounts_grant_queues": accounts_grant_queues,
        }
