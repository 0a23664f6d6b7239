"""How long to wait before trying again."""

from datetime import timedelta


def wait(attempt: int, *, first: timedelta, most: timedelta) -> timedelta:
    """Say how long to wait after failure number `attempt` (1 is the first one).

    Doubles each time from `first` and never exceeds `most`. There is no jitter: work is
    claimed by one worker at a time, so failures do not march in step.
    """
    doublings = min(max(attempt, 1) - 1, 30)
    return min(first * (2**doublings), most)
