"""What Evolution delivered, in three recorded series and beyond, and what is kept of it."""

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amarre.gateways.base import Delivery, GatewayUnclearError, Subject
from amarre.gateways.evolution_reading.delivery import read_delivery, redact
from tests.contract.evolution_json import json_values, likely, texts

DATA = Path(__file__).parents[1] / "data" / "evolution"


def read_hooks(series):
    (path,) = DATA.glob(f"hooks-{series}-*.jsonl")
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    return [line for line in lines if line["body"]["event"] != "--"]  # a mark of the recording


# --- the recorded deliveries ---


def told(series):
    return [read_delivery(line["body"]) for line in read_hooks(series)]


def short(read):
    word = read.heard.value if read.heard else ""
    return " ".join(filter(None, [read.subject.value, word, str(read.reason or ""), read.tag]))


def test_a_pairing_that_nobody_scans_is_read_from_start_to_limit():
    deliveries = told("B")

    assert [short(read) for read in deliveries] == [
        "other",
        "connection connecting",
        *["code"] * 6,
        "connection connecting",
        *["code"] * 2,
        "connection closed 428 refused",
        "code_limit",
        "connection connecting",
        *["code"] * 6,
    ]
    codes = [read.code.text for read in deliveries if read.code]
    assert len(set(codes)) == len(codes) == 14
    assert {read.instance for read in deliveries} == {"q1"}


def test_a_scan_a_text_out_and_a_text_in_are_read():
    deliveries = told("C")

    assert [short(read) for read in deliveries] == [
        "connection connecting",
        "connection open",
        "message PENDING",
        "message DELIVERY_ACK",
        "other",
        "other",
        "other",
        "message DELIVERY_ACK",
        "message READ",
    ]
    assert (deliveries[1].phone, deliveries[1].profile_name) == ("33600000001", "Resto Test")
    sent = "3EB02D8D76624A499573FA"
    assert [read.message_id for read in deliveries if read.message_id] == [
        sent,
        "3EB032882B65DDE1F813DE",
        sent,
        sent,
    ]
    assert deliveries[0].said_at == datetime(2026, 11, 21, 2, 8, 59, 425000, tzinfo=UTC)


def test_kicks_an_outage_an_unlinking_and_a_logout_are_read():
    deliveries = [short(read) for read in told("D")]

    assert deliveries[:14] == ["connection connecting", "connection open"] * 7
    assert deliveries[14:51] == ["connection connecting"] * 37
    assert deliveries[51:] == [
        "connection open",
        "message DELIVERY_ACK",
        "other",
        "other",
        "other",
        "status closed 401 device_removed",
        "connection closed logout",
        "connection closed 401",
        "connection connecting",
        "code",
        "connection connecting",
        "status closed 401",
        "connection closed logout",
        "connection closed 401",
    ]


@pytest.mark.parametrize(
    ("event", "data", "subject"),
    [
        ("remove.instance", None, Subject.REMOVED),
        ("instance.delete", {"instanceName": "q1"}, Subject.REMOVED),
        ("QRCODE_UPDATED", {"count": 0}, Subject.OTHER),
        ("messages.set", {}, Subject.OTHER),
        ("messages.upsert", [{"key": {"id": "3EB0"}}], Subject.MESSAGE),
        ("something.new", {"state": "open"}, Subject.OTHER),
    ],
)
def test_other_deliveries_say_what_they_are_about(event, data, subject):
    read = read_delivery({"event": event, "instance": "q1", "data": data})

    assert (read.subject, read.heard, read.code) == (subject, None, None)


@pytest.mark.parametrize("series", ["B", "C", "D"])
def test_what_is_kept_of_a_delivery_has_no_token_and_no_image(series):
    for line in read_hooks(series):
        kept = json.dumps(redact(line["body"]))

        assert line["body"]["apikey"] not in kept
        assert "base64" not in kept
        assert read_delivery(redact(line["body"])) == read_delivery(line["body"])


# --- laws ---

events = st.sampled_from(
    ["qrcode.updated", "connection.update", "status.instance", "messages.upsert", "send.message", "x"]
)


@given(json_values)
def test_no_json_breaks_the_reading_of_a_delivery(body):
    try:
        assert isinstance(read_delivery(body), Delivery)
    except GatewayUnclearError as error:
        assert "not a delivery" in str(error)  # noqa: PT017  # either outcome is fine, others are not


@given(events, texts.filter(bool), likely, json_values)
def test_no_data_breaks_a_delivery_that_says_what_it_is(event, instance, data, said_at):
    read = read_delivery({"event": event, "instance": instance, "data": data, "date_time": said_at})

    assert read.event == event


secrets = st.text(alphabet="ABCDEF0123456789-", min_size=8, max_size=36)


@given(secrets, json_values, likely)
def test_redaction_leaves_neither_the_token_nor_an_image(token, anything, data):
    body = {
        "event": "messages.upsert",
        "apikey": token,
        "destination": f"http://amarre.example/{token}",
        "data": {
            "message": {"base64": "aW1hZ2U" * 9, "conversation": f"it is {token}"},
            "qrcode": {"base64": "data:image/png;base64,aW1hZ2U" * 2, "code": "2@abc"},
            "nested": [[{"Token": token, token: anything, "jpegThumbnail": "aW1hZ2U"}], data],
            "picture": "data:image/jpeg;base64,aW1hZ2U",
        },
    }

    kept = json.dumps(redact(body), allow_nan=False)

    assert token not in kept
    assert "aW1hZ2U" not in kept
    assert "2@abc" in kept


@given(json_values)
def test_redaction_leaves_nothing_that_a_database_refuses(value):
    kept = redact({"data": value})

    json.dumps(kept, allow_nan=False, ensure_ascii=False).encode()
    assert "\\u0000" not in json.dumps(kept)


def test_a_body_as_deep_as_a_well_is_cut_instead_of_followed():
    body = deepest = {}
    for _ in range(900):
        deepest["data"] = deepest = {}

    assert json.dumps(redact(body)).count("data") < 60
