"""What limited a transfer follows from the figures, in the order of docs/reference/wire.md."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sarra_lite.dispatch.slowness import Figures, LimitedBy, Tcp, judge
from sarra_lite.messages import limits

MIB = 1024 * 1024
PAGE = Path(__file__).parents[3] / "docs" / "reference" / "wire.md"
IDLE = Tcp(0.2, 0.0, 0.0, 0.0, 0.0, 20 * MIB, 0.0005, 4 * MIB)
SHARE = st.floats(0, 1)
AMOUNT = st.floats(0, 1e15)


def figures(tcp: Tcp | None = IDLE, **changed: float) -> Figures:
    """Return figures of ten seconds in which nothing but the connection was waited for."""
    plain = Figures(10.0, 20.0 * MIB, 0, 0, 0.0, 0.9, 0.1, 0.1, 2, tcp)
    return plain._replace(**changed)  # type: ignore[arg-type]


def by(found: Figures) -> LimitedBy | None:
    judged = judge(found)
    return None if judged is None else judged.by


@pytest.mark.parametrize(
    ("found", "word"),
    [
        (figures(quota=0.6, connection=0.3), "quota"),
        (figures(limit=0.4, quota=0.2, connection=0.3), "limit"),
        (figures(limit=0.9, ssh=0.95), "limit"),
        (figures(ssh=0.97), "processor"),
        (figures(sender=0.97, source=0.7), "processor"),
        (figures(source=0.7, connection=0.2), "source"),
        (figures(IDLE._replace(busy=1.0, receiver=0.8, queued=1.0, resent=0.02)), "receiver"),
        (figures(IDLE._replace(busy=1.0, queued=1.0, resent=0.02)), "loss"),
        (figures(IDLE._replace(busy=1.0, queued=1.0, resent=0.0002)), "line"),
        (figures(IDLE._replace(busy=1.0, buffer=0.7, queued=1.0)), "buffer"),
        (figures(IDLE._replace(busy=1.0, round_trip=0.09)), "window"),
        (figures(), "server"),
        (figures(connection=0.3), None),
        (figures(None), None),
        (figures(None, limit=0.7), "limit"),
    ],
)
def test_each_cause_has_its_word(found: Figures, word: str | None) -> None:
    assert by(found) == word


def test_the_sentence_has_the_figures() -> None:
    judged = judge(figures(IDLE._replace(busy=1.0, receiver=0.83, window=65536, round_trip=0.05)))
    assert judged is not None
    assert judged.why == (
        "20.0 MiB/s in 10 s: 83% of the time the SFTP host had no room for more: its TCP window is"
        " 64.0 KiB, a round trip takes 50.0 ms"
    )


@given(
    st.builds(
        Figures,
        st.floats(0.5, 1e6),
        AMOUNT,
        *[SHARE] * 4,
        *[st.floats(0, 64)] * 2,
        st.integers(1, 64),
        st.none() | st.builds(Tcp, *[SHARE] * 5, AMOUNT, st.floats(0, 60), AMOUNT),
    )
)
def test_whatever_was_measured_it_is_a_known_word_and_a_sentence_that_is_not_cut(
    found: Figures,
) -> None:
    judged = judge(found)
    if judged is None:
        assert max(found.quota + found.limit, found.source) < 0.5
        assert max(found.sender, found.ssh) < 0.9
    else:
        assert judged.by in set(LimitedBy)
        assert limits.clean_text(judged.why) == judged.why
        assert len(judged.why) < 300


def test_the_page_explains_every_word() -> None:
    section = PAGE.read_text().partition("### What limits a transfer")[2].partition("\n## ")[0]
    assert re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE) == ["limitedBy", *LimitedBy]
