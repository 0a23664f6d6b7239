"""The only place where the clock is read. Everything below is handed `now`."""

from datetime import UTC, datetime


def read() -> datetime:
    """Read the clock: an aware time in UTC."""
    return datetime.now(UTC)  # noqa: TID251  # the one place
