"""The fleet as a page asks for it: those that need a person first, found by what people know."""

from typing import Any

import pytest

from amarre.store import fleet
from amarre.store.conn import Conn
from amarre.store.fleet import Wish
from tests.store.given import given_a_gateway, given_a_profile, given_an_instance, write


@pytest.fixture
async def harbour(conn: Conn) -> Conn:
    lea = await given_a_profile(conn, full_name="Léa Marin", email="lea@example.com")
    await given_an_instance(conn, user=lea, name="lea", state="connected", phone="+33639980001")
    await given_an_instance(conn, name="100-percent", label="100% Crêpes", state="disconnected")
    await given_an_instance(conn, name="under_score", state="disconnected", reason="unlinked")
    await given_an_instance(conn, name="back", label="C:\\quai", state="connecting", reason="code_shown")
    await given_an_instance(conn, name="new", state="creating")
    await given_an_instance(conn, name="wrong", state="error", reason="banned")
    await given_an_instance(conn, name="gone", state="connected", wanted="absent")
    return conn


async def _names(conn: Conn, **wish: Any) -> list[str]:
    asked = Wish(**wish)
    found = [row.name for row in await fleet.page(conn, asked)]
    assert await fleet.count(conn, asked) >= len(found)
    return found


async def test_those_that_need_a_person_come_first(harbour):
    assert await _names(harbour) == ["under_score", "wrong", "back", "new", "lea", "100-percent"]


async def test_or_all_by_name(harbour):
    assert await _names(harbour, by_name=True) == [
        "100-percent",
        "back",
        "lea",
        "new",
        "under_score",
        "wrong",
    ]


@pytest.mark.parametrize(
    ("q", "found"),
    [
        ("léa", ["lea"]),
        ("MARIN", ["lea"]),
        ("lea@example", ["lea"]),
        ("9980001", ["lea"]),
        ("%", ["100-percent"]),
        ("_", ["under_score"]),
        ("r_s", ["under_score"]),
        ("\\", ["back"]),
        ("'", []),
        ("gone", []),
    ],
)
async def test_a_search_means_what_is_typed(harbour, q, found):
    assert await _names(harbour, q=q) == found


async def test_an_id_is_found_whole(harbour):
    (one,) = await fleet.page(harbour, Wish(q="new"))

    assert await _names(harbour, q=str(one.id)) == ["new"]


@pytest.mark.parametrize(
    ("word", "found"),
    [
        ("connected", ["lea"]),
        ("code_shown", ["back"]),
        ("attention", ["under_score", "wrong"]),
        ("moving", ["back", "new"]),
        ("resting", ["100-percent"]),
        ("nonsense", []),
    ],
)
async def test_a_word_filters_by_state_reason_or_group(harbour, word, found):
    assert await _names(harbour, word=word) == found


async def test_a_gateway_filters_by_its_name(harbour):
    other = await given_a_gateway(harbour, "other")
    moved = await given_an_instance(harbour, name="moved")
    await write(harbour, "instances", moved.id, {"gateway_id": other})

    assert await _names(harbour, gateway="other") == ["moved"]
    assert await _names(harbour, gateway="nowhere") == []


async def test_pages_follow_one_another_and_the_count_is_of_all(harbour):
    first = await _names(harbour, limit=4)
    second = await _names(harbour, limit=4, offset=4)

    assert (len(first), len(second), len({*first, *second})) == (4, 2, 6)
    assert await fleet.count(harbour, Wish(limit=4)) == 6


async def test_states_and_reasons_are_counted_without_those_on_their_way_out(harbour):
    assert await fleet.counts(harbour) == {
        ("connected", ""): 1,
        ("disconnected", ""): 1,
        ("disconnected", "unlinked"): 1,
        ("connecting", "code_shown"): 1,
        ("creating", ""): 1,
        ("error", "banned"): 1,
    }
