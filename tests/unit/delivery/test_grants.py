"""Transfers send what grants allow, in their order, and nothing is lost or made up."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sarra_lite.delivery.grants import Grants

KIB = 1024
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("take"), st.integers(0, 300 * KIB)),
        st.tuples(st.just("add"), st.integers(1, 300 * KIB)),
        st.tuples(st.just("cancel"), st.integers(0, 5)),
        st.tuples(st.just("drop"), st.just(0)),
    ),
    max_size=60,
)


@given(steps=STEPS)
def test_never_more_is_sent_than_was_taken_and_no_more_is_taken_than_needed(
    steps: list[tuple[str, int]],
) -> None:
    asyncio.run(_model(steps))


async def _model(steps: list[tuple[str, int]]) -> None:
    grants, acknowledged, wanted, sent = Grants(), [0], [0], [0]
    largest = 1
    tasks: list[asyncio.Task[None]] = []

    async def send(count: int) -> None:
        await grants.take(count)
        sent[0] += count

    for step, number in steps:
        if step == "take":
            wanted[0] += number
            tasks.append(asyncio.ensure_future(send(number)))
        elif step == "add":
            largest = max(largest, number)

            def acknowledge(count: int = number) -> None:
                acknowledged[0] += count

            grants.add(number, acknowledge)
        elif step == "cancel" and tasks:
            tasks[number % len(tasks)].cancel()
        elif step == "drop":
            grants.drop_held()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert sent[0] <= acknowledged[0] < wanted[0] + largest
    for task in tasks:
        task.cancel()
    for task in tasks:
        with suppress(asyncio.CancelledError):
            await task
    assert not grants.wanted.is_set()


def test_transfers_go_on_in_their_order() -> None:
    async def scene() -> list[int]:
        grants, done = Grants(), list[int]()

        async def send(number: int, count: int) -> None:
            await grants.take(count)
            done.append(number)

        tasks = [asyncio.ensure_future(send(n, c)) for n, c in enumerate((200, 1, 1))]
        await asyncio.sleep(0)
        for _ in range(3):
            grants.add(101, lambda: None)
        await asyncio.gather(*tasks)
        return done

    assert asyncio.run(scene()) == [0, 1, 2]


@pytest.mark.parametrize(("worth", "chunk"), [(0, 64 * KIB), (10**5, 10**5), (10**9, 255 * KIB)])
def test_a_chunk_is_no_larger_than_a_grant_but_not_tiny(worth: int, chunk: int) -> None:
    grants = Grants()
    if worth:
        grants.add(worth, lambda: None)
    assert grants.chunk_bytes(255 * KIB) == chunk


def test_without_limit_nothing_waits() -> None:
    grants = Grants()
    grants.unlimited = True
    asyncio.run(asyncio.wait_for(grants.take(10**12), 1))
