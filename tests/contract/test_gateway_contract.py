"""What every gateway promises, asked of each: one fixture a gateway, one suite for all.

The fixtures run the simulators; what is proven here is that the promises of the protocol
hold from end to end, over HTTP.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

import pytest

from amarre.core.instance import Heard
from amarre.gateways import GATEWAYS, Gateway, GatewayAccess
from amarre.gateways.base import (
    GatewayInvalidError,
    GatewayRefusedError,
    GatewaySilentError,
    GatewayUnlicensedError,
    GatewayUnreachableError,
    InstanceMissingError,
    NameTakenError,
    NotConnectedError,
    Webhook,
)
from amarre.simulators.evolution import FAST, EvolutionSimulator

PHONE = "33639980001"
NOT_ON_WHATSAPP = "33639989999"


@dataclass(frozen=True, slots=True)
class Stage:
    """A gateway under test and the hand that moves the server behind it."""

    gateway: Gateway
    simulator: EvolutionSimulator
    hook: Webhook
    with_key: Callable[..., Gateway]


@pytest.fixture(params=["evolution"])
async def stage(request):
    clients = []

    async with EvolutionSimulator(FAST) as simulator:

        def with_key(key, **facts):
            access = GatewayAccess(name="one", kind=request.param, base_url=simulator.base_url, key=key)
            clients.append(GATEWAYS[request.param](access, **facts))
            return clients[-1]

        gateway = with_key(simulator.api_key)
        # Nobody listens there; what is delivered is the matter of other tests.
        hook = Webhook(
            url="http://127.0.0.1:9/hook", headers={"X-Amarre-Secret": "s3cr3t"}, events=gateway.facts.events
        )
        yield Stage(gateway, simulator, hook, with_key)
        for client in clients:
            await client.close()


async def pair(stage, name="q1"):
    await stage.gateway.create(name, stage.hook)
    await stage.gateway.connect(name)
    await stage.simulator.until(lambda: stage.simulator.live_code(name) is not None)
    stage.simulator.scan(name, phone=PHONE, profile_name="Resto")
    await stage.simulator.until(lambda: stage.simulator.instance(name).state == "open")


async def test_a_life_from_creation_to_removal(stage):
    gateway, simulator = stage.gateway, stage.simulator

    created = await gateway.create("q1", stage.hook)
    assert (created.name, created.code) == ("q1", None)
    assert await gateway.webhook("q1") == stage.hook
    assert await gateway.state("q1") is Heard.CLOSED

    first = await gateway.connect("q1")
    assert first.heard is Heard.CONNECTING
    assert first.code is not None
    assert first.code.text == simulator.live_code("q1")
    assert await gateway.connect("q1") == first

    simulator.scan("q1", phone=PHONE, profile_name="Resto")
    await simulator.until(lambda: simulator.instance("q1").state == "open")
    assert await gateway.state("q1") is Heard.OPEN
    assert (await gateway.connect("q1")).heard is Heard.OPEN
    listed = await gateway.find("q1")
    assert listed is not None
    assert (listed.heard, listed.owner, listed.token) == (Heard.OPEN, PHONE, created.token)

    await gateway.logout("q1")
    assert await gateway.state("q1") is Heard.CLOSED
    await gateway.delete("q1")
    await simulator.until(lambda: "q1" not in simulator.names_taken)
    assert await gateway.state("q1") is Heard.MISSING
    assert await gateway.find("q1") is None


async def test_about_says_which_gateway_this_is(stage):
    about = await stage.gateway.about()

    assert about.version == "2.3.7"
    assert about.took > timedelta()


async def test_a_name_is_given_once(stage):
    await stage.gateway.create("q1", stage.hook)

    with pytest.raises(NameTakenError):
        await stage.gateway.create("q1", stage.hook)

    assert [one.name for one in await stage.gateway.list_all()] == ["q1"]


async def test_what_is_not_there_is_said_to_be_missing(stage):
    gateway = stage.gateway

    assert await gateway.list_all() == []
    assert await gateway.find("nope") is None
    assert await gateway.state("nope") is Heard.MISSING
    await gateway.delete("nope")
    for call in (
        gateway.connect("nope"),
        gateway.restart("nope"),
        gateway.logout("nope"),
        gateway.webhook("nope"),
        gateway.set_webhook("nope", stage.hook),
        gateway.send_text("nope", to=PHONE, text="Bonjour"),
    ):
        with pytest.raises(InstanceMissingError):
            await call


async def test_a_webhook_that_was_lost_or_changed_can_be_set_again(stage):
    await stage.gateway.create("q1", stage.hook)
    stage.simulator.wipe_webhook("q1")
    lost = await stage.gateway.webhook("q1")

    await stage.gateway.set_webhook("q1", stage.hook)

    assert lost != stage.hook
    assert await stage.gateway.webhook("q1") == stage.hook


async def test_a_connection_that_is_open_can_be_restarted_and_one_that_is_closed_cannot(stage):
    await pair(stage)
    await stage.gateway.restart("q1")
    await stage.simulator.until(lambda: stage.simulator.instance("q1").state == "open")
    await stage.gateway.logout("q1")

    with pytest.raises(NotConnectedError):
        await stage.gateway.restart("q1")


async def test_what_is_over_can_be_ended_again(stage):
    await stage.gateway.create("q1", stage.hook)

    await stage.gateway.logout("q1")
    await stage.gateway.logout("q1")

    assert await stage.gateway.state("q1") is Heard.CLOSED


async def test_a_text_is_taken_when_connected_and_to_a_number_that_exists(stage):
    await pair(stage)

    assert await stage.gateway.send_text("q1", to="33639980002", text="Bonjour")
    with pytest.raises(GatewayInvalidError) as caught:
        await stage.gateway.send_text("q1", to=NOT_ON_WHATSAPP, text="Bonjour")
    assert NOT_ON_WHATSAPP not in str(caught.value)


async def test_a_text_is_refused_while_not_connected(stage):
    await stage.gateway.create("q1", stage.hook)

    with pytest.raises(NotConnectedError):
        await stage.gateway.send_text("q1", to=PHONE, text="Bonjour")


async def test_an_unlinked_phone_is_told_apart_from_a_closed_session(stage):
    await pair(stage)
    stage.simulator.unlink("q1")
    await stage.simulator.until(lambda: stage.simulator.instance("q1").state == "close")

    listed = await stage.gateway.find("q1")

    assert listed is not None
    assert (listed.heard, listed.disconnection_code, listed.disconnection_tag) == (
        Heard.CLOSED,
        401,
        "device_removed",
    )


async def test_while_whatsapp_is_silent_there_is_no_code(stage):
    stage.simulator.fault("count0")
    await stage.gateway.create("q1", stage.hook)

    connecting = await stage.gateway.connect("q1")

    assert (connecting.heard, connecting.code) == (Heard.CONNECTING, None)


async def test_a_wrong_key_is_refused(stage):
    stranger = stage.with_key("wrong")

    for call in (stranger.list_all(), stranger.find("q1"), stranger.create("q1", stage.hook)):
        with pytest.raises(GatewayRefusedError):
            await call
    assert (await stranger.about()).version


async def test_a_call_without_an_answer_is_silent(stage):
    hasty = stage.with_key(
        stage.simulator.api_key,
        call_timeout=timedelta(milliseconds=200),
        create_timeout=timedelta(milliseconds=200),
    )
    stage.simulator.fault("hang", route="fetchInstances", times=1)
    stage.simulator.fault("create_timeout_but_done", times=1)

    for call in (hasty.list_all(), hasty.create("q1", stage.hook)):
        with pytest.raises(GatewaySilentError) as caught:
            await call
        assert type(caught.value) is GatewaySilentError

    found = await hasty.find("q1")
    assert found is not None  # what nobody answered had been carried out


async def test_where_nobody_listens_nothing_is_carried_out(stage):
    stage.simulator.fault("refuse")

    with pytest.raises(GatewayUnreachableError):
        await stage.gateway.create("q1", stage.hook)

    stage.simulator.clear_faults()
    assert await stage.gateway.find("q1") is None


async def test_a_licence_that_is_missing_is_not_an_outage(stage):
    stage.simulator.fault("status", number=503)

    with pytest.raises(GatewayUnlicensedError):
        await stage.gateway.list_all()
