"""Each moment of an upload belongs to one phase."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sarra_lite.delivery.stopwatch import Phase, Stopwatch

STEPS = st.lists(st.tuples(st.sampled_from(Phase), st.floats(0, 1e6)))


@given(STEPS, st.floats(0, 1e6))
def test_the_phases_add_up_to_the_time_until_it_is_stopped(
    steps: list[tuple[Phase, float]], after: float
) -> None:
    now, expected = 0.0, dict.fromkeys(Phase, 0.0)
    watch = Stopwatch(lambda: now)
    for phase, seconds in steps:
        watch.switch(phase)
        now += seconds
        expected[phase] += seconds
        assert watch.seconds == pytest.approx([expected[one] for one in Phase])
    watch.stop()
    now += after
    watch.switch(Phase.SOURCE)
    assert watch.seconds == pytest.approx([expected[one] for one in Phase])
