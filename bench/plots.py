"""Draws bar charts of the peers' rates as SVG."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.peers import BROKER, OURS, PEERS, POOL

if TYPE_CHECKING:
    from pathlib import Path

    from bench.results import Results, Series

_OURS, _ENCRYPTED, _UNENCRYPTED = "#1f5a93", "#9aa5b1", "#d5dae0"


def draw(results: Results, directory: Path) -> dict[tuple[str, str], str]:
    """Replace the plots in a directory; return the file name for each line and work."""
    for old in directory.glob("*.svg"):
        old.unlink()
    names = {}
    for line, work in dict.fromkeys((series.line, series.work) for series in results.series):
        measured = [series for series in results.of(line, work) if series.runs]
        if len(measured) > 1:
            name = f"{line}-{work}.svg".replace(" ", "-").replace(",", "").lower()
            _bars(measured, f"{work}, {line}", directory / name)
            names[line, work] = name
    return names


def _bars(measured: list[Series], title: str, file: Path) -> None:
    # Imported here because matplotlib is not among the development dependencies.
    import matplotlib as mpl  # noqa: PLC0415

    mpl.use("svg")
    from matplotlib import pyplot as plt  # noqa: PLC0415

    measured = sorted(measured, key=lambda one: one.rate)
    many = measured[0].files > 1
    rates = [one.rate if many else one.rate / 1e6 for one in measured]
    with mpl.rc_context():
        # A fixed salt makes the file depend on the figures only.
        mpl.rc("svg", hashsalt="sarra_lite", fonttype="none")
        mpl.rc("font", size=9)
        mpl.rc("axes.spines", top=False, right=False, left=False)
        figure, axes = plt.subplots(figsize=(7, 0.6 + 0.27 * len(measured)), layout="constrained")
        bars = axes.barh([one.peer for one in measured], rates, color=list(map(_colour, measured)))
        axes.bar_label(bars, [f"{rate:,.0f}" for rate in rates], padding=3)
        axes.set_xlabel("files/s" if many else "MB/s")
        axes.set_title(title, loc="left")
        axes.tick_params(axis="y", length=0)
        figure.savefig(file, format="svg", metadata={"Date": None})
        plt.close(figure)


def _colour(series: Series) -> str:
    if series.peer in (OURS, POOL, BROKER):
        return _OURS
    peer = PEERS.get(series.peer)
    return _UNENCRYPTED if peer and not peer.encrypted else _ENCRYPTED
