"""What an instance's state becomes: examples from the field, then the laws."""

import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from amarre.core.instance import (
    FIRST_LOOK,
    Heard,
    Known,
    Reason,
    State,
    Then,
    Told,
    name_at_gateway,
    settle,
    wants_code,
)

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
SECOND = timedelta(seconds=1)
MINUTE = timedelta(minutes=1)
PHONE = "33639980142"

CREATING = Known(State.CREATING, None, pairing_until=NOON + 20 * MINUTE)
AWAITING = Known(State.CONNECTING, Reason.AWAITING_CODE, pairing_until=NOON + 20 * MINUTE)
SHOWN = replace(AWAITING, reason=Reason.CODE_SHOWN, code_expires_at=NOON + 30 * SECOND)
SCANNED = replace(AWAITING, reason=Reason.SCANNED)
CONNECTED = Known(State.CONNECTED, None, phone=PHONE, paired=True)
RECONNECTING = Known(State.CONNECTING, Reason.RECONNECTING, phone=PHONE, paired=True)
RESTING = Known(State.DISCONNECTED, Reason.PAIRING_EXPIRED)
UNLINKED = Known(State.DISCONNECTED, Reason.UNLINKED, phone=PHONE, paired=True)


def whole(known: Known) -> Known:
    """Make a row that can exist: a code is there exactly while it is shown."""
    code = NOON + SECOND if known.code_expires_at is None else known.code_expires_at
    return replace(known, code_expires_at=code if known.reason is Reason.CODE_SHOWN else None)


LEGAL = [
    (State.CREATING, None),
    (State.CONNECTED, None),
    *((State.CONNECTING, reason) for reason in (Reason.AWAITING_CODE, Reason.CODE_SHOWN, Reason.SCANNED)),
    (State.CONNECTING, Reason.RECONNECTING),
    *((State.DISCONNECTED, reason) for reason in (Reason.PAIRING_EXPIRED, Reason.UNLINKED)),
    *((State.ERROR, reason) for reason in (Reason.BANNED, Reason.RESTRICTED, Reason.PROVISIONING_FAILED)),
]
moments = st.timedeltas(-30 * MINUTE, 30 * MINUTE).map(lambda apart: NOON + apart)
past = st.timedeltas(timedelta(), 30 * MINUTE).map(lambda apart: NOON - apart)


def rows(pairs, until):
    return st.builds(
        lambda pair, **rest: whole(Known(*pair, **rest)),
        st.sampled_from(pairs),
        phone=st.none() | st.just(PHONE),
        code_expires_at=st.none() | moments,
        paired=st.booleans(),
        pairing_until=st.none() | until,
        watched_until=st.none() | until,
    )


knowns = rows(LEGAL, moments)
# Rows that nobody looks at any more.
resting = rows([(State.DISCONNECTED, Reason.PAIRING_EXPIRED)], past)
ended = rows([pair for pair in LEGAL if pair[1] in (Reason.UNLINKED, Reason.BANNED, Reason.RESTRICTED)], past)
tolds = st.builds(
    Told,
    phone=st.none() | st.just(PHONE),
    reason=st.none() | st.sampled_from([401, 402, 403, 406, 408, 428, 440, 500, 515]),
    limit=st.booleans(),
    restarted=st.booleans(),
)
heards = st.sampled_from(Heard)


def test_a_scan_connects_and_tells_the_phone():
    after = settle(SHOWN, Heard.OPEN, NOON, Told(phone=PHONE))

    assert (after.state, after.reason, after.phone, after.clear_code) == (State.CONNECTED, None, PHONE, True)


def test_a_new_instance_awaits_its_first_code():
    after = settle(CREATING, Heard.CONNECTING, NOON)

    assert (after.state, after.reason) == (State.CONNECTING, Reason.AWAITING_CODE)


def test_a_live_code_stays_on_the_screen_until_it_dies():
    after = settle(SHOWN, Heard.CONNECTING, NOON)

    assert (after.reason, after.clear_code, after.due_at) == (Reason.CODE_SHOWN, False, SHOWN.code_expires_at)


def test_a_session_that_restarts_while_its_code_is_good_was_scanned():
    after = settle(SHOWN, Heard.CONNECTING, NOON, Told(restarted=True))

    assert (after.reason, after.clear_code) == (Reason.SCANNED, True)


def test_a_session_that_restarts_as_its_code_dies_only_rotates():
    dying = replace(SHOWN, code_expires_at=NOON + 2 * SECOND)

    after = settle(dying, Heard.CONNECTING, NOON, Told(restarted=True))

    assert after.reason is Reason.CODE_SHOWN


def test_a_scan_that_came_to_nothing_is_followed_by_a_new_code():
    after = settle(SCANNED, Heard.CONNECTING, NOON)

    assert (after.reason, after.due_at) == (Reason.AWAITING_CODE, NOON + FIRST_LOOK)


def test_a_connection_that_falters_reconnects_and_keeps_its_phone():
    after = settle(CONNECTED, Heard.CONNECTING, NOON)

    assert (after.state, after.reason, after.phone) == (State.CONNECTING, Reason.RECONNECTING, PHONE)


@pytest.mark.parametrize("known", [CONNECTED, RECONNECTING])
def test_a_connection_that_ended_is_unlinked(known):
    after = settle(known, Heard.CLOSED, NOON)

    assert (after.state, after.reason) == (State.DISCONNECTED, Reason.UNLINKED)


@pytest.mark.parametrize(
    ("number", "expected"),
    [
        (401, (State.DISCONNECTED, Reason.UNLINKED)),
        (402, (State.ERROR, Reason.RESTRICTED)),
        (403, (State.ERROR, Reason.BANNED)),
        (406, (State.ERROR, Reason.RESTRICTED)),
    ],
)
def test_the_reason_of_an_end_is_read_from_its_number(number, expected):
    after = settle(CONNECTED, Heard.CLOSED, NOON, Told(reason=number))

    assert (after.state, after.reason) == expected


def test_a_401_before_any_pairing_only_closes_the_handshake():
    after = settle(AWAITING, Heard.CLOSED, NOON, Told(reason=401))

    assert (after.reason, after.then) == (Reason.AWAITING_CODE, Then.START_PAIRING)


def test_the_gateway_s_code_limit_lets_an_unwatched_instance_rest():
    after = settle(AWAITING, Heard.CLOSED, NOON, Told(limit=True))

    assert (after.state, after.reason, after.then) == (
        State.DISCONNECTED,
        Reason.PAIRING_EXPIRED,
        Then.NOTHING,
    )


def test_the_gateway_s_code_limit_starts_again_for_somebody_who_looks():
    watched = replace(AWAITING, watched_until=NOON + MINUTE)

    after = settle(watched, Heard.CLOSED, NOON, Told(limit=True))

    assert (after.reason, after.then, after.due_at) == (Reason.AWAITING_CODE, Then.START_PAIRING, NOON)


def test_a_gateway_that_still_shows_codes_to_nobody_is_stopped():
    forgotten = replace(AWAITING, pairing_until=NOON)

    after = settle(forgotten, Heard.CONNECTING, NOON)

    assert (after.reason, after.then) == (Reason.PAIRING_EXPIRED, Then.STOP_PAIRING)


@pytest.mark.parametrize("known", [AWAITING, SHOWN, CONNECTED, UNLINKED])
def test_an_instance_deleted_upstream_is_created_again(known):
    after = settle(known, Heard.MISSING, NOON)

    assert (after.state, after.then) == (State.CREATING, Then.CREATE_AGAIN)


def test_an_unclear_answer_changes_nothing_but_is_asked_again_soon():
    after = settle(CONNECTED, Heard.UNSURE, NOON)

    assert (after.state, after.then, after.due_at) == (State.CONNECTED, Then.LOOK_AGAIN, NOON + FIRST_LOOK)


def test_an_unclear_answer_keeps_no_dead_code():
    dead = replace(SHOWN, code_expires_at=NOON)

    after = settle(dead, Heard.UNSURE, NOON)

    assert (after.state, after.reason, after.clear_code) == (State.CONNECTING, Reason.AWAITING_CODE, True)


@given(knowns, tolds)
def test_open_always_leads_to_connected_with_no_code(known, told):
    after = settle(known, Heard.OPEN, NOON, told)

    assert (after.state, after.reason, after.clear_code, after.then) == (
        State.CONNECTED,
        None,
        True,
        Then.NOTHING,
    )


@given(knowns, heards, tolds)
def test_only_open_connects(known, heard, told):
    after = settle(known, heard, NOON, told)

    if after.state is State.CONNECTED:
        assert heard is Heard.OPEN or (heard is Heard.UNSURE and known.state is State.CONNECTED)


@given(knowns, tolds)
def test_closed_never_resurrects_and_leaves_no_code(known, told):
    after = settle(known, Heard.CLOSED, NOON, told)

    assert after.clear_code
    assert after.state is not State.CONNECTED
    if known.state in (State.DISCONNECTED, State.ERROR):
        assert after.state in (State.DISCONNECTED, State.ERROR)


@given(resting, st.sampled_from(sorted(set(Heard) - {Heard.OPEN})), tolds)
def test_a_resting_instance_that_nobody_watches_stays_at_rest(known, heard, told):
    after = settle(known, heard, NOON, told)

    assert after.state in (State.DISCONNECTED, State.ERROR)
    assert after.then in (Then.NOTHING, Then.LOOK_AGAIN, Then.STOP_PAIRING)


@given(ended, st.sampled_from(sorted(set(Heard) - {Heard.OPEN, Heard.MISSING})), tolds)
def test_an_ended_connection_is_not_paired_anew_by_what_is_heard(known, heard, told):
    after = settle(known, heard, NOON, told)

    assert after.state in (State.DISCONNECTED, State.ERROR)
    assert after.then in (Then.NOTHING, Then.LOOK_AGAIN)


@given(knowns, heards, tolds)
def test_connecting_always_has_a_live_code_or_a_next_look(known, heard, told):
    after = settle(known, heard, NOON, told)

    if after.state is State.CONNECTING:
        assert after.due_at is not None
        assert after.due_at <= NOON + 30 * MINUTE


@given(knowns, heards, tolds)
def test_a_code_is_kept_only_while_it_lives_and_only_while_connecting(known, heard, told):
    after = settle(known, heard, NOON, told)

    if not after.clear_code and known.code_expires_at is not None:
        assert known.code_expires_at > NOON
        assert after.state is State.CONNECTING
    if after.reason is Reason.CODE_SHOWN:
        assert not after.clear_code


@given(knowns, heards, tolds)
def test_a_pairing_is_started_only_for_somebody(known, heard, told):
    after = settle(known, heard, NOON, told)

    if after.then is Then.START_PAIRING:
        assert wants_code(known, NOON)
    if after.then is Then.STOP_PAIRING:
        assert not wants_code(known, NOON)


@given(knowns, heards, tolds)
def test_every_state_that_follows_has_a_reason_of_its_own(known, heard, told):
    after = settle(known, heard, NOON, told)

    assert (after.state, after.reason) in LEGAL


@given(knowns, heards, tolds)
def test_the_same_answer_twice_settles_what_once_did(known, heard, told):
    once = settle(known, heard, NOON, told)
    assume(once.then in (Then.NOTHING, Then.LOOK_AGAIN))
    as_stored = replace(
        known,
        state=once.state,
        reason=once.reason,
        code_expires_at=None if once.clear_code else known.code_expires_at,
        paired=known.paired or once.state is State.CONNECTED,
    )

    twice = settle(as_stored, heard, NOON, told)

    assert (twice.state, twice.reason) == (once.state, once.reason)


@given(st.text(), st.from_regex(r"[a-z0-9]{8,20}", fullmatch=True))
def test_any_label_gives_a_name_that_gateways_accept(label, suffix):
    name = name_at_gateway(label, suffix)

    assert re.fullmatch(r"[A-Za-z0-9_-]{1,60}", name)
    assert name.endswith(f"-{suffix}")
    assert name_at_gateway(label, suffix) == name


@pytest.mark.parametrize(
    ("label", "name"),
    [
        ("Garage Vasseur", "garage-vasseur-0a1b2c3d"),
        ("  Hôtel *** du Quai ", "hotel-du-quai-0a1b2c3d"),
        ("李", "instance-0a1b2c3d"),
        ("", "instance-0a1b2c3d"),
    ],
)
def test_a_name_can_be_recognised(label, name):
    assert name_at_gateway(label, "0a1b2c3d") == name
