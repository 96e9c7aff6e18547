"""Ansible filter that tells whose clocks differ."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

HERE: Final = "the control machine"


def clocks_apart(measured: Mapping[str, Mapping[str, Any]], seconds: float) -> list[str]:
    """Return a line for each host whose clock surely differs by more than so many seconds.

    ``measured`` is what the action clock_offset returned for each host; the control machine, which
    signs certificates, counts as one more.  A host is compared with the one that most agree with.
    """
    bounds = {HERE: (0.0, 0.0)} | {
        host: (float(found["low"]), float(found["high"])) for host, found in measured.items()
    }

    def apart(one: str, other: str) -> bool:
        return bounds[one][0] - bounds[other][1] > seconds

    def differ(one: str, other: str) -> bool:
        return apart(one, other) or apart(other, one)

    usual = min(bounds, key=lambda host: sum(differ(host, other) for other in bounds))
    odd = [host for host in bounds if differ(host, usual)]
    if not odd:  # both ends may be within so many seconds of the middle
        usual, last = (
            min(bounds, key=lambda h: bounds[h][1]),
            max(bounds, key=lambda h: bounds[h][0]),
        )
        odd = [last] if apart(last, usual) else []
    return [_line(host, bounds[host], usual, bounds[usual]) for host in odd]


def _line(host: str, own: tuple[float, float], usual: str, its: tuple[float, float]) -> str:
    difference = (sum(own) - sum(its)) / 2
    way = "ahead of" if difference > 0 else "behind"
    return f"the clock of {host} is {abs(difference):.1f} s {way} that of {usual}"


class FilterModule:
    """The filters of this plugin, for Ansible."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Return the filters by their names in templates."""
        return {"clocks_apart": clocks_apart}
