"""A report that is missing, changed or put into xlog by another program is noticed."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from sarra_lite.messages.chain import Chain
from sarra_lite.monitor.chains import CHANGED, MISSING, UNLINKED, Chains


def written(count: int, writer: str = "w") -> list[bytes]:
    chain = Chain(writer)
    return [chain.link(b'{"number":%d}' % number) for number in range(count)]


def wrong(bodies: list[bytes], chains: Chains | None = None) -> list[str]:
    known = chains or Chains({})
    return [found for body in bodies if (found := known.check(body))]


@given(st.data())
def test_what_was_written_is_right_however_writers_alternate_and_repeat(
    data: st.DataObject,
) -> None:
    left = {writer: written(8, writer) for writer in ("a", "b")}
    stream: list[bytes] = []
    while any(left.values()):
        writer = data.draw(st.sampled_from([name for name, rest in left.items() if rest]))
        stream.append(left[writer].pop(0))
    start = data.draw(st.integers(0, len(stream)))
    assert wrong(stream[:start] + stream[start // 2 : start] + stream[start:]) == []


@given(count=st.integers(3, 20), data=st.data())
def test_a_report_that_is_taken_out_is_missing(count: int, data: st.DataObject) -> None:
    bodies = written(count)
    del bodies[data.draw(st.integers(1, count - 2))]
    assert wrong(bodies) == [MISSING]


@given(count=st.integers(3, 20), data=st.data())
def test_a_report_that_is_changed_does_not_fit_the_next(count: int, data: st.DataObject) -> None:
    bodies = written(count)
    number = data.draw(st.integers(0, count - 2))
    bodies[number] = bodies[number].replace(b'"number":', b'"other":')
    assert wrong(bodies) == [CHANGED]


def test_a_report_of_another_program_is_noticed_once_there_are_linked_ones() -> None:
    assert wrong([b'{"a":1}', *written(2), b'{"a":1}', *written(2, "x")]) == [UNLINKED]


@given(stop=st.integers(1, 8))
def test_what_is_stored_is_enough_to_go_on(stop: int) -> None:
    bodies = written(10)
    before = Chains({})
    assert wrong(bodies[:stop], before) == []
    ends = before.moved()
    assert before.moved() == {}
    assert wrong(bodies[stop:], Chains(ends)) == []
    assert wrong(bodies[stop + 1 :], Chains(ends)) == [MISSING]


def test_the_middle_of_a_stream_is_where_a_new_reader_may_begin() -> None:
    assert wrong(written(10)[4:]) == []
