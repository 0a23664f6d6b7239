"""What Evolution said, in the recordings and in the wild, and what is made of it."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amarre.core.instance import Heard
from amarre.gateways.base import (
    Code,
    Connecting,
    GatewayBrokenError,
    GatewayBusyError,
    GatewayError,
    GatewayInvalidError,
    GatewayRefusedError,
    GatewaySilentError,
    GatewayUnclearError,
    GatewayUnlicensedError,
    InstanceMissingError,
    NameTakenError,
    NotConnectedError,
)
from amarre.gateways.evolution_reading import fault, reply
from amarre.gateways.evolution_reading.value import phone_of
from tests.contract.evolution_json import json_values, likely

DATA = Path(__file__).parents[1] / "data" / "evolution"
TAPE = {entry["name"]: entry for entry in json.loads((DATA / "transcripts.json").read_text())}
KEY = "GLOBALKEY-TEST-0001"
NO_TIME = timedelta()

READERS = {
    "/instance/create": reply.created,
    "/instance/connect/": reply.connecting,
    "/instance/connectionState/": reply.state,
    "/instance/fetchInstances": reply.listed,
    "/instance/restart/": reply.restarted,
    "/instance/logout/": reply.ended,
    "/instance/delete/": reply.deleted,
    "/webhook/": reply.webhook,
    "/message/sendText/": reply.sent,
}


def answer(name):
    said = TAPE[name]["response"]
    return fault.parse(said["status"], said["headers"], json.dumps(said["body"]).encode(), secret=KEY)


def raw_answer(status, body, **headers):
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return fault.parse(status, headers, raw, secret=KEY)


def reader_for(entry):
    path = entry["request"]["path"]
    return next((read for start, read in READERS.items() if path.startswith(start)), fault.raise_fault)


# --- the recorded calls ---


@pytest.mark.parametrize("name", TAPE)
def test_every_recorded_answer_is_a_value_or_a_known_error(name):
    entry = TAPE[name]
    try:
        reader_for(entry)(answer(name))
    except GatewayError as error:
        wrong = error
        assert type(wrong) is not GatewayError
        assert entry["response"]["status"] >= 400 or "inside a 200" in str(wrong) or "closed" in str(wrong)
    else:
        assert entry["response"]["status"] < 300 or reader_for(entry) in {
            reply.state,
            reply.ended,
            reply.deleted,
        }


@pytest.mark.parametrize(
    ("name", "error"),
    [
        ("03-fetchInstances-nokey", GatewayRefusedError),
        ("04-fetchInstances-badkey", GatewayRefusedError),
        ("06-create-badkey", GatewayRefusedError),
        ("08-create-no-integration", GatewayInvalidError),
        ("10-create-bad-json", GatewayInvalidError),
        ("13-create-dup-403", NameTakenError),
        ("14-create-dup-nokey", NameTakenError),
        ("76-create-immediately-after-delete", NameTakenError),
        ("190-concurrent-create-0", GatewayInvalidError),
        ("20-restart-when-close", NotConnectedError),
        ("106-restart-after-limit", NotConnectedError),
        ("21-restart-PUT", GatewayUnclearError),
        ("43-unknown-route", GatewayUnclearError),
        ("26-webhook-set-no-events", GatewayBrokenError),
        ("27-webhook-set-bad-event", GatewayInvalidError),
        ("28-webhook-set-v1-body", GatewayInvalidError),
        ("32-webhook-set-404", InstanceMissingError),
        ("198-webhook-find-wg", InstanceMissingError),
        ("40-sendtext-when-close", NotConnectedError),
        ("61-sendtext-connecting", NotConnectedError),
        ("125-sendtext-during-outage", NotConnectedError),
        ("232-sendtext-dead-socket", NotConnectedError),
        ("41-sendtext-missing", GatewayInvalidError),
        ("115-sendtext-not-on-whatsapp", GatewayInvalidError),
        ("116-sendtext-bad-number", GatewayInvalidError),
        ("222-create-with-instance-token", GatewayRefusedError),
        ("224-bearer-instead-of-apikey", GatewayRefusedError),
    ],
)
def test_a_recorded_refusal_is_sorted_by_what_can_be_done(name, error):
    with pytest.raises(error) as caught:
        reader_for(TAPE[name])(answer(name))

    assert type(caught.value) is error


@pytest.mark.parametrize(
    ("name", "heard"),
    [
        ("15-state-close", Heard.CLOSED),
        ("101-state", Heard.CONNECTING),
        ("110-state-open", Heard.OPEN),
        ("104-state-after-qr-limit", Heard.CLOSED),
        ("69-state-after-delete-b2", Heard.UNSURE),
        ("18-state-404", Heard.MISSING),
        ("155-state-after-delete", Heard.MISSING),
    ],
)
def test_a_state_is_what_was_said(name, heard):
    assert reply.state(answer(name)) is heard


def test_connect_says_the_code_or_that_there_is_none_or_that_it_is_open():
    said = TAPE["130-connect-after-401"]["response"]["body"]

    assert reply.connecting(answer("52-connect-count0")) == Connecting(Heard.CONNECTING)
    assert reply.connecting(answer("111-connect-when-open")) == Connecting(Heard.OPEN)
    assert reply.connecting(answer("130-connect-after-401")) == Connecting(
        Heard.CONNECTING, Code(text=said["code"], count=7)
    )
    paired = reply.connecting(answer("157-connect-number-fresh")).code
    assert paired is not None
    assert (paired.pairing_code, paired.count) == ("EHK9M5FQ", 1)


def test_what_ends_a_thing_is_content_when_it_is_over_already():
    for name in ("22-logout-when-close", "131-logout-open", "233-logout-dead-socket"):
        reply.ended(answer(name))
    for name in ("72-delete-missing", "183-delete-open", "238-delete-again"):
        reply.deleted(answer(name))


def test_create_gives_the_token_and_never_prints_it():
    created = reply.created(answer("12-create-plain-noqr"))

    assert (created.name, created.token) == ("a1", "8138B4A4-6E95-434A-A3AE-E941382F9ECA")
    assert created.remote_id == "091eb2e1-2717-46a1-b180-f01f21fef636"
    assert created.token not in repr(created)


def test_the_list_tells_why_a_connection_ended():
    unlinked = reply.found(answer("127-fetch-after-401"), name="q1")
    restricted = reply.found(answer("181-fetch-after-403"), name="q1")

    assert unlinked is not None
    assert restricted is not None
    assert (unlinked.heard, unlinked.owner) == (Heard.CLOSED, "33600000001")
    assert (unlinked.disconnection_code, unlinked.disconnection_tag) == (401, "device_removed")
    assert unlinked.disconnected_at == datetime(2026, 11, 21, 2, 10, 7, 72000, tzinfo=UTC)
    assert (restricted.disconnection_code, restricted.disconnection_tag) == (403, None)
    assert "33600000001" not in repr(unlinked)


def test_one_who_is_not_in_the_list_is_none():
    assert reply.found(answer("38-fetch-missing"), name="nope") is None
    assert reply.found(answer("191-fetch-after-race"), name="race") is None
    assert reply.found(answer("37-fetch-one"), name="a2") is None


def test_a_webhook_is_read_back_as_it_was_set_or_as_never_set():
    kept = reply.webhook(answer("25-webhook-find"))
    bare = reply.webhook(answer("196-webhook-find-wf"))
    bent = reply.webhook(answer("142-webhook-set-byevents-jwt"))

    assert reply.webhook(answer("23-webhook-find-none")) is None
    assert kept is not None
    assert bare is not None
    assert bent is not None
    assert (kept.url, kept.headers) == ("http://127.0.0.1:8098/hook/a1", {"X-Secret": "s3cr3t"})
    assert (len(kept.events), kept.enabled, kept.by_events) == (11, True, False)
    assert (bare.headers, bare.events) == ({}, ("QRCODE_UPDATED",))
    assert bent.by_events
    assert "s3cr3t" not in repr(kept)


def test_a_message_that_was_taken_has_its_id():
    assert reply.sent(answer("114-sendtext-ok")) == "3EB02D8D76624A499573FA"


# --- what was not recorded ---


@pytest.mark.parametrize(
    ("version", "dialect"),
    [("1.8.7", "v1"), ("2.0.10", "v2flat"), ("2.1.0", "v2"), ("2.3.7", "v2"), ("v2.4.0-rc2", "v2")],
)
def test_the_version_decides_the_dialect(version, dialect):
    about = reply.about(raw_answer(200, {"version": version}), took=NO_TIME)

    assert (about.version, about.dialect) == (version, dialect)


@pytest.mark.parametrize(
    ("status", "body", "error"),
    [
        (503, {"error": "service not activated", "code": "LICENSE_REQUIRED"}, GatewayUnlicensedError),
        (502, b"<html>Bad Gateway</html>", GatewaySilentError),
        (200, b"<html>Manager</html>", GatewayUnclearError),
        (200, b'[{"name": "q', GatewayUnclearError),
        (200, b"", GatewayUnclearError),
        (200, b"[" * 100_000, GatewayUnclearError),
        (200, b"\xff\xfe\x00", GatewayUnclearError),
        (302, b"", GatewayUnclearError),
        (404, b"404 page not found", GatewayUnclearError),
        (404, {"status": "error", "code": 404, "message": "Application not found"}, GatewayUnclearError),
        (401, b"<html>", GatewayRefusedError),
        (403, b"<html>Just a moment...</html>", GatewayUnclearError),
        (200, {"error": True, "message": "[object Object]"}, GatewayBrokenError),
        (400, {"response": {"message": "[object Object]"}}, GatewayBrokenError),
    ],
)
@pytest.mark.parametrize(
    "read", [fault.raise_fault, reply.listed, reply.state, reply.connecting, reply.deleted]
)
def test_whatever_stands_in_front_is_not_taken_for_the_gateway(read, status, body, error):
    with pytest.raises(error) as caught:
        read(raw_answer(status, body))

    assert type(caught.value) is error


@pytest.mark.parametrize(
    ("headers", "wait"),
    [
        ({"Retry-After": "7"}, timedelta(seconds=7)),
        ({"Retry-After": "999999999"}, timedelta(days=1)),
        ({"Retry-After": "soon"}, None),
        ({}, None),
        (
            {"Retry-After": "Sat, 21 Nov 2026 10:00:30 GMT", "Date": "Sat, 21 Nov 2026 10:00:00 GMT"},
            timedelta(seconds=30),
        ),
        ({"Retry-After": "Sat, 21 Nov 2026 09:00:00 GMT", "Date": "Sat, 21 Nov 2026 10:00:00 GMT"}, NO_TIME),
    ],
)
def test_a_busy_gateway_says_how_long_to_wait(headers, wait):
    with pytest.raises(GatewayBusyError) as caught:
        fault.raise_fault(raw_answer(429, b"", **headers))

    assert caught.value.retry_after == wait


def test_an_old_version_is_named_when_its_shapes_are_met():
    old_hash = {"instance": {"instanceName": "a"}, "hash": {"apikey": "x"}}
    old_list = [{"instance": {"instanceName": "a", "status": "open"}}]

    for read, body in ((reply.created, old_hash), (reply.listed, old_list)):
        with pytest.raises(GatewayUnclearError, match=r"1\.x; 2\.1 or later is needed"):
            read(raw_answer(200, body))


def test_no_key_no_number_and_no_code_gets_into_the_text_of_an_error():
    message = [
        [f"invalid key {KEY}", "call +33 6 39 98 00 01"],
        {"jid": "33639980001@s.whatsapp.net", "token": "8138B4A4-6E95-434A-A3AE-E941382F9ECA"},
        "2@AbC4+/dEf5gHiJkLmNo==,x",
    ]

    text = str(fault.fault(raw_answer(400, {"response": {"message": message}})))

    assert text.startswith("the gateway finds the request wrong: invalid key ***; call ***")
    for secret in (KEY, "3998", "8138B4A4", "dEf5"):
        assert secret not in text


@pytest.mark.parametrize(
    ("jid", "phone"),
    [
        ("33639980001@s.whatsapp.net", "33639980001"),
        ("33639980001:12@s.whatsapp.net", "33639980001"),
        ("33639980001@c.us", "33639980001"),
        ("9933639980001@lid", None),
        ("120363000000000000@g.us", None),
        ("@s.whatsapp.net", None),
        (33639980001, None),
    ],
)
def test_only_the_address_of_a_person_has_a_number(jid, phone):
    assert phone_of(jid) == phone


# --- laws ---


@given(st.sampled_from([200, 201, 204, 301, 400, 401, 403, 404, 429, 500, 503]), likely | json_values)
def test_no_json_breaks_the_reading_of_an_answer(status, body):
    said = fault.Answer(status, body, secret=KEY)
    for read in (*READERS.values(), lambda one: reply.about(one, took=NO_TIME)):
        try:
            read(said)
        except GatewayError as error:
            assert len(str(error)) < 400  # noqa: PT017  # either outcome is fine, others are not


@given(
    st.binary(max_size=40), st.dictionaries(st.sampled_from(["Retry-After", "Date"]), st.text(max_size=30))
)
def test_no_bytes_break_the_parsing_of_an_answer(raw, headers):
    assert fault.parse(200, headers, raw).status == 200
