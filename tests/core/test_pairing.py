"""Which codes may be shown, and for how long."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from amarre.core.pairing import LONGEST_RETRY, Offered, Shown, Turned, age_of, judge, learn_skew

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
SECOND = timedelta(seconds=1)
HOUR = timedelta(hours=1)
LIFE = 45 * SECOND

instants = st.datetimes(datetime(2026, 3, 1), datetime(2026, 3, 3), timezones=st.just(UTC))  # noqa: DTZ001  # bounds
skews = st.timedeltas(-13 * HOUR, 13 * HOUR)
lives = st.timedeltas(SECOND, timedelta(minutes=5))
offers = st.builds(
    Offered,
    received_at=instants,
    seen=st.booleans(),
    said_at=st.none() | instants,
    skew=st.none() | skews,
    latest_said_at=st.none() | instants,
)


def test_a_fresh_code_lives_its_whole_life():
    verdict = judge(Offered(received_at=NOON, seen=False), life=LIFE)

    assert verdict == Shown(NOON + LIFE)


def test_a_code_that_was_seen_before_is_dead_whatever_the_gateway_says():
    assert judge(Offered(received_at=NOON, seen=True), life=LIFE) is Turned.SEEN


def test_a_code_that_was_overtaken_by_a_newer_one_is_not_shown():
    late = Offered(received_at=NOON, seen=False, said_at=NOON - 10 * SECOND, latest_said_at=NOON - 5 * SECOND)

    assert judge(late, life=LIFE) is Turned.OLDER


def test_a_delayed_code_gets_what_is_left_of_its_life():
    delayed = Offered(received_at=NOON, seen=False, said_at=NOON - 30 * SECOND, skew=timedelta())

    assert judge(delayed, life=LIFE) == Shown(NOON + 15 * SECOND)


def test_a_code_that_died_on_its_way_is_not_shown():
    stale = Offered(received_at=NOON, seen=False, said_at=NOON - 45 * SECOND, skew=timedelta())

    assert judge(stale, life=LIFE) is Turned.DEAD


def test_local_time_with_a_false_zone_makes_no_code_older():
    # A gateway in Paris that writes its local time as UTC: an hour ahead of ours.
    said_at = NOON + HOUR - SECOND
    skew = learn_skew(None, received_at=NOON - HOUR, said_at=NOON)

    offered = Offered(received_at=NOON, seen=False, said_at=said_at, skew=skew)

    assert age_of(offered) == SECOND


def test_the_fastest_delivery_tells_the_difference_of_the_clocks():
    slow = learn_skew(None, received_at=NOON + 9 * SECOND, said_at=NOON)
    fast = learn_skew(slow, received_at=NOON + 2 * SECOND, said_at=NOON)
    slow_again = learn_skew(fast, received_at=NOON + 9 * SECOND, said_at=NOON)

    assert (slow, fast, slow_again) == (9 * SECOND, 2 * SECOND, 2 * SECOND)


def test_a_gateway_whose_clock_was_set_back_is_learned_anew():
    winter = learn_skew(timedelta(), received_at=NOON, said_at=NOON - HOUR)

    assert winter == HOUR


@given(offers, lives)
def test_no_code_is_shown_for_longer_than_it_lives(offered, life):
    verdict = judge(offered, life=life)

    if isinstance(verdict, Shown):
        assert offered.received_at < verdict.expires_at <= offered.received_at + life


@given(offers, lives)
def test_no_code_is_shown_twice(offered, life):
    if offered.seen:
        assert judge(offered, life=life) is Turned.SEEN


@given(offers, lives)
def test_no_code_follows_a_newer_one(offered, life):
    overtaken = offered.said_at and offered.latest_said_at and offered.said_at < offered.latest_said_at

    if overtaken:
        assert not isinstance(judge(offered, life=life), Shown)


@given(offers)
def test_no_code_is_younger_than_new(offered):
    assert age_of(offered) >= timedelta()


@given(instants, skews, st.lists(st.timedeltas(timedelta(), LONGEST_RETRY), min_size=1))
def test_delays_of_retries_never_spoil_what_is_known_of_a_clock(said_at, skew, delays):
    known = None
    for delay in delays:
        known = learn_skew(known, received_at=said_at + skew + delay, said_at=said_at)

    assert known == skew + min(delays)
