"""A failed attempt to provide an instance: what uses up a try, and when it ends."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amarre.core.provision import (
    FIRST_WAIT,
    GATEWAY_FAILURES,
    LONGEST_WAIT,
    OUTAGE_LONGEST_WAIT,
    GiveUp,
    Retry,
    after_failure,
)

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)

gateway_failures = st.sampled_from(sorted(GATEWAY_FAILURES))
own_failures = st.sampled_from(["name_taken", "gateway_invalid", "webhook_missing", "gateway_unclear"])
counts = st.integers(0, 1_000)


def test_a_request_that_cannot_be_right_is_tried_as_often_as_it_may_and_then_given_up():
    followed = [
        after_failure("gateway_invalid", tries=tries, most=3, failures=tries, now=NOON) for tries in range(4)
    ]

    assert followed[:3] == [Retry(NOON + FIRST_WAIT * 2**tries, counts=True) for tries in range(3)]
    assert followed[3] == GiveUp()


def test_an_outage_of_ten_minutes_uses_up_no_try():
    now, failures = NOON, 0
    while now < NOON + timedelta(minutes=10):
        follows = after_failure("gateway_unreachable", tries=0, most=3, failures=failures, now=now)
        assert isinstance(follows, Retry)
        assert not follows.counts
        now, failures = follows.at, failures + 1

    # Eager enough to recover soon, and no burden on a gateway that struggles.
    assert 10 < failures < 20


@pytest.mark.parametrize("code", ["no_gateway", "gateway_unknown"])
def test_a_sign_up_before_its_gateway_is_configured_waits(code):
    follows = after_failure(code, tries=3, most=3, failures=50, now=NOON)

    assert follows == Retry(NOON + OUTAGE_LONGEST_WAIT, counts=False)


@given(gateway_failures, counts, counts, counts)
def test_a_failure_of_the_gateway_never_gives_a_request_up(code, tries, most, failures):
    follows = after_failure(code, tries=tries, most=most, failures=failures, now=NOON)

    assert isinstance(follows, Retry)
    assert not follows.counts


@given(st.one_of(gateway_failures, own_failures), counts, counts, counts)
def test_the_next_try_is_later_than_now_and_never_far_away(code, tries, most, failures):
    follows = after_failure(code, tries=tries, most=most, failures=failures, now=NOON)

    assert isinstance(follows, GiveUp) or NOON < follows.at <= NOON + LONGEST_WAIT


@given(own_failures, st.integers(0, 20), counts)
def test_every_other_failure_ends_after_its_tries(code, most, failures):
    tries = 0
    while isinstance(
        follows := after_failure(code, tries=tries, most=most, failures=failures, now=NOON), Retry
    ):
        tries += follows.counts

    assert tries == most
