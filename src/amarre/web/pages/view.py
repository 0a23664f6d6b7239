"""What pages show, as values: made from what was read, without any IO. Templates only print them."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, tzinfo
from typing import Any, Final
from urllib.parse import urlencode
from uuid import UUID

from amarre.store.instance import Instance
from amarre.web.i18n import speech
from amarre.web.pages import qr, spoken
from amarre.web.pages.look import Look, group, look
from amarre.web.wording import mark_in

PAGE_ROWS: Final = 100
SOON_S: Final = 10


@dataclass(frozen=True, slots=True)
class Person:
    """Who looks at the page."""

    name: str
    role: str
    email: str = ""
    locale: str | None = None
    theme: str | None = None

    @property
    def may_write(self) -> bool:
        """Say whether this person may change anything."""
        return self.role in ("admin", "support")


@dataclass(frozen=True, slots=True)
class Notice:
    """A banner above the page: what has just been done, or could not be."""

    tone: str
    title: str
    text: str = ""


@dataclass(frozen=True, slots=True)
class Frame:
    """What every page needs. `path` is its own address, for the links to the other language."""

    lang: str
    company: str
    now: datetime
    person: Person | None = None
    zone: tzinfo = UTC
    path: str = "/"
    live: bool = True
    notice: Notice | None = None

    @property
    def clock(self) -> str:
        """Write the time of the data."""
        return spoken.clock(self.now, self.zone)

    def length(self, at: datetime) -> str:
        """Write how long ago something was, as a duration."""
        return spoken.length(self.now - at, self.lang)

    def ago(self, at: datetime | None) -> str:
        """Say how long ago something was."""
        return spoken.ago(at, self.now, self.lang)

    def moment(self, at: datetime) -> str:
        """Write when something was, briefly."""
        return spoken.moment(at, self.now, self.zone, self.lang)

    def exact(self, at: datetime) -> str:
        """Write when something was, with its date unless that is today."""
        return spoken.exact(at, self.now, self.zone, self.lang)

    def number(self, n: float) -> str:
        """Write a number."""
        return spoken.number(n, self.lang)


@dataclass(frozen=True, slots=True)
class CodeView:
    """A live code: its picture and the time that is left, as it was when the page was made."""

    picture: qr.Picture
    left_ms: int
    life_ms: int
    until: datetime
    pairing_code: str | None = None

    @property
    def left_s(self) -> int:
        """Give the whole seconds that are left."""
        return self.left_ms // 1000

    @property
    def ring(self) -> int:
        """Give the part of the code's life that is left, in percent."""
        return max(min(100 * self.left_ms // max(self.life_ms, 1), 100), 0)

    @property
    def soon(self) -> bool:
        """Say whether it dies within seconds."""
        return self.left_s <= SOON_S


def code_view(found: Instance, now: datetime) -> CodeView | None:
    """Draw the code that can be scanned now; None where there is none. Never a dead one."""
    if found.code is None or found.code_expires_at is None or found.code_expires_at <= now:
        return None
    left = found.code_expires_at - now
    life = found.code_expires_at - (found.code_at or now)
    pin = found.pairing_code
    if pin and len(pin) == 8:  # noqa: PLR2004  # WhatsApp's codes are read in two halves
        pin = f"{pin[:4]}-{pin[4:]}"
    return CodeView(
        qr.draw(found.code),
        int(left.total_seconds() * 1000),
        int(life.total_seconds() * 1000),
        found.code_expires_at,
        pin,
    )


# ---------------------------------------------------------------- the fleet


@dataclass(frozen=True, slots=True)
class Asked:
    """What a fleet page was asked for, as it stands in its address."""

    q: str = ""
    word: str = ""
    gateway: str = ""
    by_name: bool = False
    page: int = 1

    def href(self, **changes: Any) -> str:
        """Give the address of the same page with another wish; the page number starts again."""
        then = replace(self, **{"page": 1} | changes)
        pairs = {
            "q": then.q,
            "state": then.word,
            "gateway": then.gateway,
            "sort": "name" if then.by_name else "",
            "page": str(then.page) if then.page > 1 else "",
        }
        return "?" + urlencode({key: value for key, value in pairs.items() if value})


@dataclass(frozen=True, slots=True)
class Row:
    """One instance in the fleet."""

    id: UUID
    label: str
    look: Look
    sub: str
    phone: str | None
    gateway: str
    response: str
    traffic: str
    group: str


@dataclass(frozen=True, slots=True)
class Group:
    """Rows that belong together, and how many there are of them on all pages."""

    word: str
    title: str
    count: int
    rows: tuple[Row, ...]


@dataclass(frozen=True, slots=True)
class Cell:
    """A count that is also a filter."""

    word: str
    count: int
    look: Look


@dataclass(frozen=True, slots=True)
class Part:
    """A part of the strip: the fleet to scale."""

    tone: str
    x: int
    width: float


@dataclass(frozen=True, slots=True)
class FleetView:
    """The fleet: counts of all of it, and one page of rows."""

    asked: Asked
    total: int
    found: int
    attention: int
    moving: int
    cells: tuple[Cell, ...]
    strip: tuple[Part, ...]
    groups: tuple[Group, ...]
    gateways: tuple[str, ...]

    @property
    def first(self) -> int:
        """Give the number of the first row shown."""
        return (self.asked.page - 1) * PAGE_ROWS + 1 if self.found else 0

    @property
    def last(self) -> int:
        """Give the number of the last row shown."""
        return min(self.asked.page * PAGE_ROWS, self.found)

    @property
    def earlier(self) -> str | None:
        """Give the address of the page before; None on the first."""
        return self.asked.href(page=self.asked.page - 1) if self.asked.page > 1 else None

    @property
    def later(self) -> str | None:
        """Give the address of the page after; None on the last."""
        return self.asked.href(page=self.asked.page + 1) if self.last < self.found else None


_CELLS: Final = (
    ("connected", "ok", "g-taut", mark_in("many", "Connected")),
    ("code_shown", "move", "g-slack", mark_in("many", "Ready to scan")),
    ("reconnecting", "move", "g-wave", mark_in("many", "Reconnecting")),
    ("unlinked", "bad", "g-cut", mark_in("many", "Unlinked")),
    ("error", "bad", "g-barred", mark_in("many", "In error")),
    ("resting", "off", "g-rest", mark_in("many", "Resting")),
)
_GROUPS: Final = {
    "attention": mark_in("many", "Needs attention"),
    "moving": mark_in("many", "Moving"),
    "connected": mark_in("many", "Connected"),
    "resting": mark_in("many", "Resting"),
}
_STRIP: Final = (("connected", "ok"), ("moving", "move"), ("resting", "off"), ("attention", "bad"))


def fleet_view(
    rows: Sequence[Instance],
    *,
    counts: Mapping[tuple[str, str], int],
    found: int,
    gateways: Iterable[str],
    asked: Asked,
    frame: Frame,
) -> FleetView:
    """Make the fleet's page from one page of rows and the counts of all by (state, reason)."""
    groups = _sums(counts)
    made = [_row(one, frame) for one in rows]
    return FleetView(
        asked=asked,
        total=sum(counts.values()),
        found=found,
        attention=groups["attention"],
        moving=groups["moving"],
        cells=_cells(counts, groups, frame.lang),
        strip=_strip(groups),
        groups=_grouped(made, asked, groups, frame.lang),
        gateways=tuple(gateways),
    )


def _sums(counts: Mapping[tuple[str, str], int]) -> dict[str, int]:
    sums = dict.fromkeys(_GROUPS, 0)
    for (state, reason), n in counts.items():
        sums[group(state, reason or None)] += n
    return sums


def _cells(counts: Mapping[tuple[str, str], int], groups: Mapping[str, int], lang: str) -> tuple[Cell, ...]:
    def count(word: str) -> int:
        if word == "resting":
            return groups["resting"]
        return sum(n for pair, n in counts.items() if word in pair)

    say = speech(lang)
    return tuple(
        Cell(word, count(word), Look(tone, glyph, say.many(text))) for word, tone, glyph, text in _CELLS
    )


def _strip(groups: Mapping[str, int]) -> tuple[Part, ...]:
    parts: list[Part] = []
    x, total = 0, sum(groups[name] for name, _ in _STRIP)
    for name, tone in _STRIP:
        n = groups[name]
        if n:
            # A gap between the parts, as wide in a small fleet as in a large one.
            gap = min(total / 200, n * 0.4) if x + n < total else 0
            parts.append(Part(tone, x, n - gap))
        x += n
    return tuple(parts)


def _grouped(rows: Sequence[Row], asked: Asked, counts: Mapping[str, int], lang: str) -> tuple[Group, ...]:
    if asked.by_name:
        return (Group("", "", len(rows), tuple(rows)),) if rows else ()
    say = speech(lang)
    made: list[Group] = []
    for word, title in _GROUPS.items():
        inside = tuple(one for one in rows if one.group == word)
        if inside:
            made.append(Group(word, say.many(title), counts[word], inside))
    return tuple(made)


def _row(found: Instance, frame: Frame) -> Row:
    return Row(
        id=found.id,
        label=found.label,
        look=look(found.state, found.reason, found.gateway_state, frame.lang),
        sub=_sub(found, frame),
        phone=spoken.phone(found.phone),
        gateway=found.gateway or spoken.NOTHING,
        response=spoken.milliseconds(found.response_ms, frame.lang),
        traffic=spoken.ago(found.last_traffic_at, frame.now, frame.lang),
        group=group(found.state, found.reason),
    )


def _sub(found: Instance, frame: Frame) -> str:
    if found.code_expires_at is not None and found.code_expires_at > frame.now:
        left = spoken.length(found.code_expires_at - frame.now, frame.lang)
        say = speech(frame.lang)
        return say("code valid %(time)s", time=left)
    return spoken.since(found.state_since, frame.now, frame.lang)
