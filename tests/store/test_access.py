"""People and machines: a session, a key or a guess counts for as long as it should."""

from typing import Any

import pytest

from amarre.core.errors import ConflictError
from amarre.store import access
from amarre.store.access import User
from amarre.store.conn import Conn
from tests.store.given import rows
from tests.support import DAY, HOUR, MINUTE, NOON, SECOND

IDLE = 8 * HOUR
MAIL = "Carol@example.com"


@pytest.fixture
async def carol(conn: Conn) -> User:
    return await access.add_user(conn, email=MAIL, name="Carol", role="viewer", password_hash="argon")


async def test_a_person_is_found_by_the_address_in_any_case(conn, carol):
    found = await access.user_by_email(conn, "carol@EXAMPLE.com")

    assert found == (carol, "argon")
    assert await access.user_by_email(conn, "dan@example.com") is None


async def test_an_address_belongs_to_one_person(conn, carol):
    with pytest.raises(ConflictError) as refused:
        await access.add_user(conn, email=MAIL.lower(), name="Other", role="admin", password_hash="argon")

    assert refused.value.facts == {"field": "email"}


async def test_only_what_is_given_changes_and_auto_means_none(conn, carol):
    await access.change_user(conn, carol.id, now=NOON, locale="fr", theme="dark")
    await access.change_user(conn, carol.id, now=NOON, name="Caro", locale="auto")

    (found,) = await access.users(conn)
    assert (found.name, found.role, found.locale, found.theme) == ("Caro", "viewer", None, "dark")


@pytest.mark.parametrize(
    ("at", "lives"),
    [(NOON, True), (NOON + IDLE - SECOND, True), (NOON + IDLE, False), (NOON + DAY, False)],
)
async def test_a_session_ends_when_nobody_uses_it(conn, carol, at, lives):
    await access.open_session(conn, carol.id, token_hash=b"s", life=30 * DAY, now=NOON)

    found = await access.session_user(conn, b"s", idle=IDLE, now=at)

    assert (found is not None) is lives


async def test_a_session_that_is_used_lives_until_its_end(conn, carol):
    await access.open_session(conn, carol.id, token_hash=b"s", life=DAY, now=NOON)

    alive = [await access.session_user(conn, b"s", idle=IDLE, now=NOON + n * 7 * HOUR) for n in range(1, 5)]

    assert [user is not None for user in alive] == [True, True, True, False]


async def test_opening_a_session_notes_the_log_in(conn, carol):
    await access.open_session(conn, carol.id, token_hash=b"s", life=DAY, now=NOON)

    (found,) = await access.users(conn)
    assert found.last_login_at == NOON


@pytest.mark.parametrize(
    ("change", "ends"),
    [
        ({"password_hash": "new"}, True),
        ({"role": "admin"}, True),
        ({"active": False}, True),
        ({"name": "Caro"}, False),
    ],
)
async def test_a_new_password_or_role_or_leaving_ends_all_sessions(conn, carol, change, ends):
    await access.open_session(conn, carol.id, token_hash=b"s", life=DAY, now=NOON)

    await access.change_user(conn, carol.id, now=NOON, **change)

    assert (await access.session_user(conn, b"s", idle=IDLE, now=NOON) is None) is ends


async def test_a_closed_session_is_over(conn, carol):
    await access.open_session(conn, carol.id, token_hash=b"s", life=DAY, now=NOON)

    await access.close_session(conn, b"s")

    assert await access.session_user(conn, b"s", idle=IDLE, now=NOON) is None


async def test_failed_tries_are_counted_by_subject_and_forgotten_with_time(conn):
    for n in range(3):
        await access.login_failed(conn, [MAIL, "192.0.2.1"], now=NOON + n * MINUTE)
    await access.login_failed(conn, ["192.0.2.1"], now=NOON + 3 * MINUTE)

    async def count(*subjects: str, at: int) -> dict[str, int]:
        return await access.login_failures(conn, list(subjects), within=10 * MINUTE, now=NOON + at * MINUTE)

    assert await count(MAIL, "192.0.2.1", at=4) == {MAIL: 3, "192.0.2.1": 4}
    assert await count(MAIL, at=11) == {MAIL: 1}
    assert await count("somebody else", at=4) == {}


async def test_the_right_password_is_forgiven_for_its_subjects_only(conn):
    await access.login_failed(conn, [MAIL, "192.0.2.1"], now=NOON)

    await access.forgive(conn, [MAIL])

    assert await access.login_failures(conn, [MAIL], within=HOUR, now=NOON) == {}
    assert await access.login_failures(conn, ["192.0.2.1"], within=HOUR, now=NOON) == {"192.0.2.1": 1}


async def _key(conn: Conn, **changed: Any) -> access.ApiKey:
    fields: dict[str, Any] = {"name": "crm", "key_hash": b"k", "prefix": "am_1", "scope": "read"}
    fields |= {"by": "alice", "expires_at": None, "now": NOON, **changed}
    return await access.add_key(conn, **fields)


async def test_a_key_is_valid_until_it_is_revoked_and_notes_its_use(conn):
    made = await _key(conn)
    used = await access.use_key(conn, b"k", now=NOON + HOUR)

    revoked = await access.revoke_key(conn, "am_1", now=NOON + HOUR)

    assert used is not None
    assert (used.id, used.last_used_at, revoked) == (made.id, NOON + HOUR, True)
    assert await access.use_key(conn, b"k", now=NOON + HOUR) is None
    assert not await access.revoke_key(conn, "am_1", now=NOON + HOUR)
    assert len(await access.keys(conn)) == 1


async def test_a_key_ends_at_its_time(conn):
    await _key(conn, expires_at=NOON + HOUR)

    assert await access.use_key(conn, b"k", now=NOON + HOUR - SECOND) is not None
    assert await access.use_key(conn, b"k", now=NOON + HOUR) is None
    assert await access.use_key(conn, b"unknown", now=NOON) is None


async def test_what_has_ended_is_pruned(conn, carol):
    await access.open_session(conn, carol.id, token_hash=b"ended", life=HOUR, now=NOON)
    await access.open_session(conn, carol.id, token_hash=b"lives", life=3 * DAY, now=NOON)
    await access.login_failed(conn, [MAIL], now=NOON)

    pruned = await access.prune(conn, now=NOON + DAY + SECOND)

    assert pruned == 2
    assert await rows(conn, "select token_hash from amarre.sessions") == [{"token_hash": b"lives"}]
