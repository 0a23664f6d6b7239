"""An instance's page and the page of the person with the phone, as values."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from amarre.core.instance import Reason, State
from amarre.store.event import Event
from amarre.store.instance import Instance
from amarre.web.i18n import error_text
from amarre.web.pages import spoken
from amarre.web.pages.look import Look, look
from amarre.web.pages.moor import Moor, moor
from amarre.web.pages.timeline import Entry, story
from amarre.web.pages.view import CodeView, Frame, code_view


class Stage(StrEnum):
    """What somebody who wants to pair sees."""

    COMING = "coming"  # a code is on its way
    CODE = "code"
    SCANNED = "scanned"
    CONNECTED = "connected"
    RESTING = "resting"
    STUCK = "stuck"  # a code would not help


def stage(found: Instance, code: CodeView | None) -> Stage:
    """Say what to show to somebody who wants to pair."""
    if found.state == State.CONNECTED:
        return Stage.CONNECTED
    if found.reason in (Reason.SCANNED, Reason.RECONNECTING):
        return Stage.SCANNED
    if found.state == State.ERROR:
        return Stage.STUCK
    if found.state == State.DISCONNECTED:
        return Stage.RESTING
    return Stage.CODE if code else Stage.COMING


@dataclass(frozen=True, slots=True)
class InstanceView:
    """One instance. `link` is a pairing link that has just been made: it is shown once."""

    id: UUID
    label: str
    name: str
    look: Look
    stage: Stage
    moor: Moor
    code: CodeView | None
    phone: str | None
    profile_name: str | None
    gateway: str | None
    connected_at: datetime | None
    webhook_at: datetime | None
    delivery_at: datetime | None
    traffic_at: datetime | None
    created_at: datetime
    state_since: datetime
    pairing_until: datetime | None
    trouble: str | None
    log: tuple[Entry, ...]
    link: str | None = None
    retryable: bool = False
    creating: bool = False  # there is nothing at the gateway yet, so no code can be asked for

    @property
    def pairing(self) -> bool:
        """Say whether a code is shown or on its way."""
        return self.stage in (Stage.CODE, Stage.COMING)


def instance_view(
    found: Instance, events: Sequence[Event], *, frame: Frame, link: str | None = None
) -> InstanceView:
    """Make an instance's page; `events` are its story, newest first."""
    code = code_view(found, frame.now)
    trouble = error_text(found.error_code, {}, frame.lang) if found.error_code else None
    return InstanceView(
        id=found.id,
        label=found.label,
        name=found.name,
        look=look(found.state, found.reason, found.gateway_state, frame.lang),
        stage=stage(found, code),
        moor=moor(found, frame),
        code=code,
        phone=spoken.phone(found.phone),
        profile_name=found.profile_name,
        gateway=found.gateway,
        connected_at=found.connected_at,
        webhook_at=found.webhook_checked_at,
        delivery_at=found.last_delivery_at,
        traffic_at=found.last_traffic_at,
        created_at=found.created_at,
        state_since=found.state_since,
        pairing_until=found.pairing_until,
        trouble=trouble,
        log=story(events, frame.lang),
        link=link,
        retryable=found.reason == Reason.PROVISIONING_FAILED,
        creating=found.state == State.CREATING,
    )


@dataclass(frozen=True, slots=True)
class PairView:
    """The page of the person with the phone. `label` is theirs; nothing else is told to them."""

    token: str
    label: str
    stage: Stage
    code: CodeView | None
    phone: str | None
    since: datetime


def pair_view(found: Instance, token: str, now: datetime) -> PairView:
    """Make the pairing page."""
    code = code_view(found, now)
    return PairView(
        token=token,
        label=found.label,
        stage=stage(found, code),
        code=code,
        phone=spoken.phone(found.phone),
        since=found.state_since,
    )
