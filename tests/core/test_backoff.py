"""Waits double and stay within their bounds."""

from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from amarre.core.backoff import wait

SECOND = timedelta(seconds=1)
MINUTE = timedelta(minutes=1)

attempts = st.integers(-3, 10_000)
waits = st.timedeltas(timedelta(milliseconds=1), timedelta(minutes=1))


def test_the_first_wait_is_the_one_that_was_asked_for():
    assert wait(1, first=SECOND, most=MINUTE) == SECOND


def test_each_wait_is_twice_the_one_before_until_the_longest():
    waited = [wait(attempt, first=SECOND, most=MINUTE).total_seconds() for attempt in range(1, 9)]

    assert waited == [1, 2, 4, 8, 16, 32, 60, 60]


def test_an_attempt_that_was_not_counted_waits_like_the_first():
    assert wait(0, first=SECOND, most=MINUTE) == SECOND


@given(attempts, waits, waits)
def test_no_wait_is_shorter_than_the_first_or_longer_than_the_longest(attempt, first, more):
    most = first + more

    assert first <= wait(attempt, first=first, most=most) <= most


@given(attempts, waits, waits)
def test_waits_never_shrink(attempt, first, most):
    assert wait(attempt, first=first, most=most) <= wait(attempt + 1, first=first, most=most)
