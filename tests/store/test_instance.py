"""What is known of an instance changes as a whole, on a row that nobody else changes."""

from dataclasses import replace
from typing import Any

import pytest
from psycopg import errors

from amarre.core.instance import Reason, State
from amarre.store import gateway, instance
from amarre.store.instance import NO_CODE, PLAIN_COLUMNS
from tests.store.given import (
    connected,
    given_a_gateway,
    given_a_profile,
    given_an_instance,
    rows,
    the_instance,
    value,
)
from tests.support import HOUR, MINUTE, NOON, SECOND

CODE: dict[str, Any] = {
    "code": "2@abc",
    "qr_code": "data:image/png;base64,AA==",
    "code_at": NOON,
    "code_expires_at": NOON + MINUTE,
}


async def test_what_is_recorded_is_read_again_and_the_rest_stays(conn):
    found = await given_an_instance(conn, phone="+33639980001", heard="open")
    changes: dict[str, Any] = {
        "state": "connecting",
        "reason": "code_shown",
        "due_at": NOON + SECOND,
        **CODE,
        "code_number": 2,
    }

    await instance.record(conn, found.id, changes, now=NOON)

    expected = {key: new for key, new in changes.items() if key != "qr_code"}
    assert await the_instance(conn, found.id) == replace(found, **expected, state_since=NOON)


async def test_every_column_that_may_be_written_can_be(conn):
    """The list in Python and the one in the statement are the same."""
    found = await given_an_instance(conn)
    (types,) = await rows(
        conn,
        """select jsonb_object_agg(column_name, data_type) as of from information_schema.columns
            where table_schema = 'amarre' and table_name = 'instances'""",
    )
    samples = {"timestamp with time zone": NOON, "integer": 7, "uuid": found.gateway_id, "text": "text"}
    checked = {"state": "error", "wanted": "absent"}
    changes = {name: checked.get(name, samples[types["of"][name]]) for name in PLAIN_COLUMNS}

    await instance.record(conn, found.id, changes, now=NOON)

    (written,) = await rows(conn, "select * from amarre.instances")
    assert {name: written[name] for name in PLAIN_COLUMNS} == changes


async def test_a_column_that_is_not_on_the_list_is_refused(conn):
    found = await given_an_instance(conn)

    with pytest.raises(ValueError, match="claim_no"):
        await instance.record(conn, found.id, {"claim_no": 7}, now=NOON)


async def test_the_time_of_a_state_is_when_it_or_its_reason_changed(conn):
    found = await given_an_instance(conn)
    await instance.record(conn, found.id, {"state": "connecting", "reason": "awaiting_code"}, now=NOON)
    await instance.record(conn, found.id, {"state": "connecting", "heard": "connecting"}, now=NOON + SECOND)
    same = await the_instance(conn, found.id)

    await instance.record(conn, found.id, {"reason": "code_shown"}, now=NOON + MINUTE)

    changed = await the_instance(conn, found.id)
    assert (same.state_since, changed.state_since) == (NOON, NOON + MINUTE)


@pytest.mark.parametrize("half", [{"code": "2@abc"}, {"code_expires_at": NOON}])
async def test_a_code_comes_as_a_whole(conn, half):
    found = await given_an_instance(conn)

    with pytest.raises(errors.CheckViolation, match="instances_code_whole"):
        await instance.record(conn, found.id, half, now=NOON)


async def test_a_code_goes_as_a_whole(conn):
    found = await given_an_instance(conn)
    await instance.record(conn, found.id, {**CODE, "pairing_code": "ABCD1234"}, now=NOON)

    await instance.record(conn, found.id, NO_CODE, now=NOON)

    (left,) = await rows(
        conn, "select code, qr_code, pairing_code, code_at, code_expires_at from amarre.instances"
    )
    assert set(left.values()) == {None}


@pytest.mark.parametrize("wrong", [{"state": "open"}, {"wanted": "maybe"}, {"name": "a b"}, {"name": ""}])
async def test_a_word_that_nobody_knows_is_refused(conn, wrong):
    found = await given_an_instance(conn)

    with pytest.raises(errors.CheckViolation):
        await instance.record(conn, found.id, wrong, now=NOON)


@pytest.mark.parametrize("state", State)
async def test_every_state_and_reason_of_the_core_can_be_recorded(conn, state):
    found = await given_an_instance(conn)

    for reason in Reason:
        await instance.record(conn, found.id, {"state": str(state), "reason": str(reason)}, now=NOON)

        known = (await the_instance(conn, found.id)).known()
        assert (known.state, known.reason) == (state, reason)


async def test_a_locked_instance_waits_for_nobody_s_decision(conn, database_url):
    found = await given_an_instance(conn)

    async with connected(database_url) as other, conn.transaction():
        await instance.lock(conn, found.id)
        await other.execute("set lock_timeout = '50ms'")
        with pytest.raises(errors.LockNotAvailable):
            await instance.lock(other, found.id)


async def test_a_user_has_one_instance_of_a_kind_at_a_time(conn):
    user = await given_a_profile(conn)
    first = await given_an_instance(conn, user=user)
    gateway_id = await given_a_gateway(conn)
    values: dict[str, Any] = {
        "kind": "evolution",
        "gateway": gateway_id,
        "user": user,
        "label": None,
        "now": NOON,
    }

    second = await instance.add(conn, name="second", **values)
    await instance.record(conn, first.id, {"wanted": "absent"}, now=NOON)
    next_one = await instance.add(conn, name="next", **values)

    assert (second, next_one is None) == (None, False)
    found = await instance.of_user(conn, user)
    assert found is not None
    assert found.name == "next"


async def test_a_name_is_never_used_twice(conn):
    await given_an_instance(conn, name="taken", wanted="absent")

    with pytest.raises(errors.UniqueViolation):
        await given_an_instance(conn, name="taken")


async def test_an_instance_is_called_by_its_label_its_customer_or_its_name(conn):
    named = await given_an_instance(conn, user=await given_a_profile(conn, full_name="Léa"), label="Quai 3")
    customer = await given_an_instance(conn, user=await given_a_profile(conn, full_name="Léa"))
    plain = await given_an_instance(conn, name="plain")

    assert [named.label, customer.label, plain.label] == ["Quai 3", "Léa", "plain"]


async def test_instances_are_found_by_name_state_and_gateway(conn):
    one = await given_an_instance(conn, name="one", state="connecting", due_at=NOON)
    two = await given_an_instance(conn, name="two", state="connecting", due_at=NOON - SECOND)
    await given_an_instance(conn, state="connecting", wanted="absent")
    assert one.gateway_id is not None

    assert await instance.by_name(conn, "one") == one
    assert await instance.by_name(conn, "nobody") is None
    assert await instance.ids_in_state(conn, "connecting") == [two.id, one.id]
    assert len(await instance.of_gateway(conn, one.gateway_id)) == 3


async def test_its_secrets_are_kept_apart_and_come_back(conn):
    found = await given_an_instance(conn)

    await instance.keep_token(conn, found.id, b"a sealed token")

    assert await instance.hook_secret(conn, found.id) == b"sealed"
    assert await value(conn, "select token from amarre.instance_secrets") == b"a sealed token"


async def test_a_code_is_new_once(conn):
    found = await given_an_instance(conn)

    first = await instance.see(conn, found.id, b"hash", now=NOON)

    assert (first, await instance.see(conn, found.id, b"hash", now=NOON)) == (True, False)


async def test_only_an_instance_that_nobody_wants_is_removed_by_who_holds_it(conn):
    found = await given_an_instance(conn)
    wanted = await instance.remove(conn, found)
    await instance.record(conn, found.id, {"wanted": "absent"}, now=NOON)
    late = await instance.remove(conn, replace(found, claim_no=found.claim_no - 1))

    removed = await instance.remove(conn, found)

    assert (wanted, late, removed) == (False, False, True)


async def test_what_failed_while_its_gateway_was_away_is_looked_at_at_once(conn):
    failed = await given_an_instance(conn, due_at=NOON + HOUR, failures=3, webhook_due_at=NOON + HOUR)
    calm = await given_an_instance(conn, due_at=NOON + HOUR)
    assert failed.gateway_id is not None

    await instance.look_soon(conn, failed.gateway_id, now=NOON)
    await instance.check_webhooks_soon(conn, failed.gateway_id, within=MINUTE, now=NOON)

    assert (await the_instance(conn, failed.id)).due_at == NOON
    assert (await the_instance(conn, calm.id)).due_at == NOON + HOUR
    assert NOON <= await value(conn, "select min(webhook_due_at) from amarre.instances") <= NOON + MINUTE


async def test_a_new_instance_goes_to_the_working_gateway_with_the_most_room(conn):
    full = await given_a_gateway(conn)
    await given_an_instance(conn)
    broken = await given_a_gateway(conn, "broken")
    roomy = await given_a_gateway(conn, "roomy")
    retired = await given_a_gateway(conn, "another")
    await gateway.retire_others(conn, ["main", "broken", "roomy"], now=NOON)
    claims = await gateway.claim_due_lists(conn, worker=1, lease=MINUTE, now=NOON)
    silent: dict[str, Any] = {"claim_no": claims[broken], "state": "silent", "due_at": NOON, "now": NOON}

    recorded = await gateway.record(conn, broken, **silent)

    assert await gateway.roomiest(conn, "evolution") == roomy
    assert (recorded, await gateway.record(conn, broken, **silent)) == (True, True)
    assert {full, broken, roomy} == claims.keys()
    assert retired not in claims
