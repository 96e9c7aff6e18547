"""Operations on one name keep their order; all others run side by side."""

import tracemalloc

from hypothesis import given
from hypothesis import strategies as st

from sarra_lite.dispatch.ordering import PathOrder

NAMES = st.lists(st.sampled_from("ab"), min_size=1, max_size=3).map("/".join)
JOBS = st.lists(st.tuples(NAMES, st.booleans(), st.booleans()), max_size=12)


def test_jobs_on_different_files_run_side_by_side() -> None:
    order = PathOrder[int]()
    assert order.add(1, "d/a")
    assert order.add(2, "d/b")


def test_a_second_job_on_a_file_waits_for_the_first() -> None:
    order = PathOrder[int]()
    order.add(1, "d/a")
    assert not order.add(2, "d/a")
    assert order.done(1) == [2]


def test_blocks_of_one_file_run_side_by_side_but_its_removal_waits_for_them() -> None:
    order = PathOrder[int]()
    assert order.add(1, "big", concurrent=True)
    assert order.add(2, "big", concurrent=True)
    assert not order.add(3, "big", subtree=True)
    assert order.done(1) == []
    assert order.done(2) == [3]


def test_the_removal_of_a_directory_waits_for_all_beneath_it() -> None:
    order = PathOrder[int]()
    order.add(1, "d/x/a", subtree=True)
    order.add(2, "d/x/b")
    assert not order.add(3, "d/x", subtree=True)
    assert not order.add(4, "d/x/new")
    assert order.done(1) == []
    assert order.done(2) == [3]
    assert order.done(3) == [4]


def test_what_is_beneath_a_directory_waits_until_it_is_made_and_it_for_nothing_beneath() -> None:
    order = PathOrder[int]()
    order.add(1, "d/x/b")
    assert order.add(2, "d", before_children=True)
    assert not order.add(3, "d/x", before_children=True)
    assert not order.add(4, "d/x/a")
    assert order.add(5, "e")
    assert order.done(2) == [3]
    assert order.done(3) == [4]


def test_a_rename_holds_up_both_names() -> None:
    order = PathOrder[int]()
    order.add(1, "new", "old", subtree=True)
    assert not order.add(2, "old")
    assert not order.add(3, "new")
    assert sorted(order.done(1)) == [2, 3]


def test_a_job_that_was_dropped_and_comes_again_is_started_once() -> None:
    order = PathOrder[int]()
    order.add(1, "a")
    assert not order.add(2, "a")
    assert order.done(2) == []
    assert not order.add(2, "a")
    assert order.done(1) == [2]


@given(JOBS)
def test_every_job_runs_once_and_nothing_is_left(jobs: list[tuple[str, bool, bool]]) -> None:
    order = PathOrder[int]()
    ready = [n for n, (p, w, s) in enumerate(jobs) if order.add(n, p, subtree=w, concurrent=s)]
    ran = []
    while ready:
        ran.append(job := ready.pop())
        ready += order.done(job)
    assert sorted(ran) == list(range(len(jobs)))
    assert len(order) == 0


@given(JOBS)
def test_two_jobs_on_one_name_never_change_places(jobs: list[tuple[str, bool, bool]]) -> None:
    order = PathOrder[int]()
    ready = [n for n, (p, w, s) in enumerate(jobs) if order.add(n, p, subtree=w, concurrent=s)]
    ran: list[int] = []
    while ready:
        ran.append(job := ready.pop())
        ready += order.done(job)
    for path in {path for path, _, _ in jobs}:
        exclusive = [n for n in ran if jobs[n][0] == path and not jobs[n][2]]
        assert exclusive == sorted(exclusive)


def test_a_deep_path_takes_memory_in_proportion_to_its_length() -> None:
    order = PathOrder[int]()
    path = "a/" * 10_000 + "f"
    tracemalloc.start()
    try:
        order.add(1, path)
        assert tracemalloc.get_traced_memory()[1] < 500 * len(path)
    finally:
        tracemalloc.stop()
    assert not order.add(2, path)
    assert not order.add(3, "a", subtree=True)
    assert order.done(1) == [2]
