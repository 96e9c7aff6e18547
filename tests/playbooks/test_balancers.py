"""Each virtual address is on a load balancer that can serve users, and on no other."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from tests.lab.balancers import Balancers
from tests.lab.processes import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.lab.balancers import Balancer

pytestmark = pytest.mark.timeout(120)


@pytest.fixture(scope="module")
def balancers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Balancers]:
    with Balancers(tmp_path_factory.mktemp("balancers")) as running:
        yield running


def holder(balancers: Balancers) -> Balancer:
    """Return the load balancer that holds the address, when there is one and it serves."""
    wait_until(balancers.answered, "a client gets through", 30)
    (found,) = [each for each in balancers.both if each.holds()]
    return found


def longest_gap(balancers: Balancers, over: Callable[[], bool]) -> float:
    """Return for how long, at most, no client got through until it is over and one does."""
    begin = answer = time.monotonic()
    gap = 0.0
    while (now := time.monotonic()) < begin + 40:
        if balancers.answered():
            gap, answer = max(gap, now - answer), now
            if over():
                return gap
        time.sleep(0.1)
    pytest.fail("it takes longer than 40 s")


def test_a_holder_whose_inner_side_is_dead_releases_the_address(balancers: Balancers) -> None:
    dead = holder(balancers)
    (other,) = set(balancers.both) - {dead}
    dead.cut()
    try:
        gap = longest_gap(balancers, lambda: not dead.holds() and other.holds())
    finally:
        dead.mend()
    assert gap < 9  # on a busy machine; 4 to 5 s on a quiet one


def test_a_backup_whose_inner_side_is_dead_does_not_keep_the_address(balancers: Balancers) -> None:
    right = holder(balancers)
    (dead,) = set(balancers.both) - {right}
    dead.cut()
    try:
        # It does not hear the other, so it claims the address, until it knows that it sees nothing.
        wait_until(lambda: dead.holds() or dead.fault(), "it notices", 20)
        gap = longest_gap(balancers, lambda: not dead.holds())
        assert holder(balancers) is right
    finally:
        dead.mend()
    assert gap < 9


def test_when_no_server_is_left_nobody_holds_the_address_until_one_is_back(
    balancers: Balancers,
) -> None:
    holder(balancers)
    balancers.server.stop()
    wait_until(lambda: all(each.fault() for each in balancers.both), "both see nothing", 20)
    wait_until(lambda: not any(each.holds() for each in balancers.both), "none holds it", 20)
    balancers.restart_server()
    holder(balancers)
