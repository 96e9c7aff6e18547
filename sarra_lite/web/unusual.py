"""The page of what was unusual, for whom it concerns."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sarra_lite.web.pages import Query
    from sarra_lite.web.records import Records


def page(records: Records, _query: Query) -> dict[str, Any]:
    """Return what was unusual, the latest first; groups are shown to netops only."""
    judged, entries = records.unusual()
    return {"template": "unusual.html", "judged": judged, "entries": entries}
