"""Renders results as docs/benchmarks/README.md, a page with tables."""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING, Final

from bench.lines import LINES
from bench.peers import BROKER, OURS, PEERS, SR3_BROKER
from bench.results import MIB
from bench.targets import verdicts

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from bench.results import Results, Series

_HOW: Final = """\
Every peer has a turn in every round, so that what else the machine does meets all of them; figures
are medians over the rounds.
Wall seconds are those of the whole command: interpreter, connecting and ending included.
`{pool}` is our engine with its connections open already, as in a sender that has been at work
before. Its seconds begin then, its CPU seconds with the command, as for all others.
`{broker}` is `sr_post --wait` with a sender that waits for work, until the last report;
`{sr3_broker}` a sender of sr3 and our `sr_post`, until the last file is there.
CPU seconds are those of all processes at each end: here what `wait4` tells of the command and all
its descendants, there what grows in `/proc` of the servers and theirs.
Memory is the most that all client processes together had, by proportional set size (PSS) every
50 ms, so that it may miss what lasts less.
Both ends share this machine's processors; files are in memory (tmpfs).
Long lines are made by a relay of our own (`bench/wan.py`), for want of netem, which takes its share
of the processors, too.
A number of files in brackets is how many were really sent, by peers that would need too long for
all; their seconds and CPU seconds are as if they had gone on at that rate.
What is sent in the clear (gridftp, bbcp) is there for comparison, and so is rsync, which needs
itself at the other end.
"""


def page(results: Results, plots: dict[tuple[str, str], str]) -> str:
    """Return the page; ``plots``: file name of the plot for each line and work."""
    parts = [
        "# Benchmarks",
        "**A trial of the bench: works are cut down, figures mean nothing.**" * results.quick,
        (
            f"Written by `{results.command}` on {results.date};"
            " raw figures: [results.json](results.json)."
        ),
        "\n".join(_table(["what", "target", "reached", "met"], _targets(results))),
        "## How it was measured",
        _HOW.format(pool="sarra_lite, open pool", broker=BROKER, sr3_broker=SR3_BROKER).strip(),
        "\n".join(_table(["", ""], [[k, v] for k, v in results.machine.items()])),
        "\n".join(_table(["", "version"], [[k, v] for k, v in results.versions.items()])),
        "## Lines",
        "\n".join(_lines(results)),
        *_works(results, plots),
        *_others(results),
        *_growth(results),
        "## How each peer is started",
        "\n".join(_commands(results)),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _table(head: list[str], rows: Iterable[list[str]]) -> Iterator[str]:
    yield f"| {' | '.join(head)} |"
    yield "|" + "---|" * len(head)
    for row in rows:
        yield f"| {' | '.join(row)} |"


def _targets(results: Results) -> Iterator[list[str]]:
    answers = {True: "yes", False: "**no**", None: "not measured"}
    for verdict in verdicts(results):
        yield [verdict.what, verdict.target, verdict.reached, answers[verdict.met]]


def _lines(results: Results) -> Iterator[str]:
    head = ["line", "what", "congestion control", "ping, ms", "1 stream, Mbit/s", "4 streams"]
    yield from _table(
        head,
        (
            [
                *(name, one.what, one.congestion, f"{one.ping:.2f}"),
                *(f"{one.one_stream:,.0f}", f"{one.four_streams:,.0f}"),
            ]
            for name, one in results.lines.items()
        ),
    )


def _works(results: Results, plots: dict[tuple[str, str], str]) -> Iterator[str]:
    for line, work in dict.fromkeys((series.line, series.work) for series in results.series):
        measured = [series for series in results.of(line, work) if series.runs]
        if not measured:
            continue
        yield f"## {work}, {line}"
        yield f"{LINES[line].what[0].upper()}{LINES[line].what[1:]}."
        yield "\n".join(_series(measured, next((s for s in measured if s.peer == OURS), None)))
        if (line, work) in plots:
            yield f"![{work}, {line}]({plots[line, work]})"
        problems = [f"{s.peer}: {s.problem}" for s in results.of(line, work) if s.problem]
        yield "\n".join(f"- {' '.join(problem.split())}" for problem in problems)


def _series(measured: list[Series], ours: Series | None) -> Iterator[str]:
    head = ["who", "runs", "wall s", "from - to", "rate", "x ours", "client CPU s", "server CPU s"]
    yield from _table(
        [*head, "client MiB"],
        (_row(one, ours) for one in sorted(measured, key=lambda one: one.seconds)),
    )


def _row(one: Series, ours: Series | None) -> list[str]:
    scale = one.files / one.sent
    seconds = [run.seconds * scale for run in one.runs]
    name = f"**{one.peer}**" if one.peer == OURS else one.peer
    return [
        name if one.sent == one.files else f"{name} ({one.sent} files)",
        str(len(one.runs)),
        f"{one.seconds:.2f}",
        f"{min(seconds):.2f} - {max(seconds):.2f}",
        f"{one.rate:,.0f} files/s" if one.files > 1 else f"{one.rate / 1e6:,.0f} MB/s",
        f"{one.seconds / ours.seconds:.2f}" if ours else "",
        f"{one.median('client_cpu') * scale:.2f}",
        f"{one.median('server_cpu') * scale:.2f}",
        f"{one.median('peak') / MIB:.0f}",
    ]


def _others(results: Results) -> Iterator[str]:
    if results.idle and results.idle.seen:
        yield "## One small file, idle, lan"
        yield "From its announcement (pubTime), by a sender whose connection is open, in ms."
        rows = []
        for name, times in (("file seen", results.idle.seen), ("reported", results.idle.reported)):
            first, median, last = min(times), statistics.median(times), max(times)
            figures = [f"{1000 * value:.1f}" for value in (first, median, last)]
            rows.append([name, str(len(times)), *figures])
        yield "\n".join(_table(["until", "files", "least", "median", "most"], rows))
    if (million := results.million) is not None:
        yield f"## sr_post of {million.files:,} empty files"
        yield (
            f"First announcement after {million.first:.2f} s, all after {million.seconds:.0f} s,"
            f" {million.peak / MIB:.0f} MiB of memory."
        )


def _growth(results: Results) -> Iterator[str]:
    if results.growth:
        yield "## Growth, lan"
        yield (
            "Our engine alone, with one turn each; large files are sparse, written to memory, or to"
            " disk where it cannot hold them. Processes are senders on one queue."
        )
    head = ["", "wall s", "cost", "client CPU s", "server CPU s", "client MiB", "processes"]
    for what, series in results.growth.items():
        rows = [_growth_row(one) for one in series if one.runs]
        yield "\n".join(_table([what, *head[1:]], rows))


def _growth_row(one: Series) -> list[str]:
    seconds_per_file = one.seconds / one.files
    gib = one.size * one.files / 2**30
    return [
        one.work,
        f"{one.seconds:.2f}",
        f"{1e6 * seconds_per_file:.0f} us a file"
        if one.files > 1
        else f"{one.seconds / gib:.2f} s a GiB",
        f"{one.median('client_cpu'):.2f}",
        f"{one.median('server_cpu'):.2f}",
        f"{one.median('peak') / MIB:.0f}",
        f"{one.median('processes'):.0f}",
    ]


def _commands(results: Results) -> Iterator[str]:
    used = {series.peer for series in results.series}
    yield "For one large file; for many small ones, where that differs, below it."
    yield ""
    yield "```"
    for name, peer in PEERS.items():
        if name in used:
            yield f"{name + ':':<24}{peer.large}"
            if peer.small:
                yield f"{'':<24}{peer.small}"
    yield "```"
