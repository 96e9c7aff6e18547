"""Draws a bar for each peer, as SVG."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.peers import BROKER, OURS, PEERS, POOL

if TYPE_CHECKING:
    from pathlib import Path

    from bench.results import Results, Series

_OURS, _THEIRS, _CLEAR = "#1f5a93", "#9aa5b1", "#d5dae0"


def draw(results: Results, directory: Path) -> dict[tuple[str, str], str]:
    """Write a picture for each line and work, instead of those there are; return their names."""
    for old in directory.glob("*.svg"):
        old.unlink()
    names = {}
    for place in dict.fromkeys((series.line, series.work) for series in results.series):
        found = [series for series in results.of(*place) if series.runs]
        if len(found) > 1:
            name = f"{place[0]}-{place[1]}.svg".replace(" ", "-").replace(",", "").lower()
            _bars(found, place, directory / name)
            names[place] = name
    return names


def _bars(found: list[Series], place: tuple[str, str], file: Path) -> None:
    # Only who draws needs it; it is not among the tools of developers.
    import matplotlib as mpl  # noqa: PLC0415

    mpl.use("svg")
    from matplotlib import pyplot as plt  # noqa: PLC0415

    found = sorted(found, key=lambda one: one.rate)
    many = found[0].files > 1
    rates = [one.rate if many else one.rate / 1e6 for one in found]
    with mpl.rc_context():
        # With a salt the same figures give the same file.
        mpl.rc("svg", hashsalt="sarra_lite", fonttype="none")
        mpl.rc("font", size=9)
        mpl.rc("axes.spines", top=False, right=False, left=False)
        figure, axes = plt.subplots(figsize=(7, 0.6 + 0.27 * len(found)), layout="constrained")
        bars = axes.barh([one.peer for one in found], rates, color=list(map(_colour, found)))
        axes.bar_label(bars, [f"{rate:,.0f}" for rate in rates], padding=3)
        axes.set_xlabel("files/s" if many else "MB/s")
        axes.set_title(f"{place[1]}, {place[0]}", loc="left")
        axes.tick_params(axis="y", length=0)
        figure.savefig(file, format="svg", metadata={"Date": None})
        plt.close(figure)


def _colour(series: Series) -> str:
    if series.peer in (OURS, POOL, BROKER):
        return _OURS
    peer = PEERS.get(series.peer)
    return _CLEAR if peer and not peer.encrypted else _THEIRS
