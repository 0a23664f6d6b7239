"""How times, durations, numbers and phone numbers are written for a reader.

Everything is relative to a `now` that is handed in, and in the reader's own zone.
"""

from datetime import datetime, timedelta, tzinfo

import phonenumbers
from babel.dates import format_date
from babel.numbers import format_decimal

from amarre.web.i18n import speech

MINUTE = 60
HOUR = 60 * MINUTE
DAY = 24 * HOUR
NOTHING = "–"


def number(n: float, lang: str) -> str:
    """Write a number with its language's separators."""
    return format_decimal(n, locale=lang)


def seconds(ms: float, lang: str) -> str:
    """Write milliseconds as seconds with one decimal: `0.9 s`."""
    say = speech(lang)
    return say("%(n)s s", n=format_decimal(round(ms / 1000, 1), locale=lang))


def milliseconds(ms: int | None, lang: str) -> str:
    """Write a response time; a dash where none is known."""
    say = speech(lang)
    return NOTHING if ms is None else say("%(n)s ms", n=number(ms, lang))


def length(spent: timedelta, lang: str) -> str:
    """Write a duration, rounded down: `8 s`, `26 min`, `1 h 59`, `3 d`."""
    say = speech(lang)
    total = max(int(spent.total_seconds()), 0)
    if total < MINUTE:
        return say("%(n)s s", n=total)
    if total < HOUR:
        return say("%(n)s min", n=total // MINUTE)
    if total < DAY:
        return say("%(h)s h %(m)s", h=total // HOUR, m=f"{total % HOUR // MINUTE:02}")
    return say("%(n)s d", n=number(total // DAY, lang))


def since(at: datetime, now: datetime, lang: str) -> str:
    """Say how long something has been so: `for 26 min`."""
    say = speech(lang)
    return say("for %(time)s", time=length(now - at, lang))


def ago(at: datetime | None, now: datetime, lang: str) -> str:
    """Say how long ago something was; a dash where it never was."""
    say = speech(lang)
    return NOTHING if at is None else say("%(time)s ago", time=length(now - at, lang))


def clock(at: datetime, zone: tzinfo) -> str:
    """Write the time of day: `14:31:56`."""
    return at.astimezone(zone).strftime("%H:%M:%S")


def moment(at: datetime, now: datetime, zone: tzinfo, lang: str) -> str:
    """Write when something was, as short as is clear: a time today, else a date."""
    there, here = at.astimezone(zone), now.astimezone(zone)
    if there.date() == here.date():
        return clock(at, zone)
    return format_date(there, "d MMM", locale=lang)


def exact(at: datetime, now: datetime, zone: tzinfo, lang: str) -> str:
    """Write when something was, with its date unless that is today."""
    there, here = at.astimezone(zone), now.astimezone(zone)
    if there.date() == here.date():
        return clock(at, zone)
    pattern = "d MMM" if there.year == here.year else "d MMM y"
    day = format_date(there, pattern, locale=lang)
    say = speech(lang)
    return say("%(day)s, %(time)s", day=day, time=there.strftime("%H:%M"))


def phone(digits: str | None) -> str | None:
    """Write a phone number for people; one that cannot be read is left as it is."""
    if not digits:
        return None
    text = digits if digits.startswith("+") else f"+{digits}"
    try:
        return phonenumbers.format_number(
            phonenumbers.parse(text), phonenumbers.PhoneNumberFormat.INTERNATIONAL
        )
    except phonenumbers.NumberParseException:
        return digits
