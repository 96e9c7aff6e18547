"""The page of users and groups: what they have sent, and how much of their quotas is used."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from sarra_lite.web.plots import plots

if TYPE_CHECKING:
    from sarra_lite.web.pages import Query
    from sarra_lite.web.quotas import Quotas
    from sarra_lite.web.records import Records

_DAYS: Final = 30


class People:
    """The page of users and groups."""

    def __init__(self, quotas: Quotas) -> None:
        """``quotas`` knows how much is used."""
        self._quotas = quotas

    def page(self, records: Records, _query: Query) -> dict[str, Any]:
        """Return what users and groups have sent, as far as the viewer may see it."""
        users = records.people(_DAYS)
        first, groups_days = records.daily(_DAYS)
        groups: dict[str, list[int]] = {}
        for entry in users:
            sums = groups.setdefault(entry.group, [0, 0, 0, 0])
            for place, value in enumerate((1, entry.sent, entry.bytes, entry.failed)):
                sums[place] += value
        return {
            "template": "people.html",
            "users": users,
            "groups": groups,
            "days": _DAYS,
            "quotas": self._quotas.used(records),
            "plots": plots(groups_days, first, _DAYS),
        }
