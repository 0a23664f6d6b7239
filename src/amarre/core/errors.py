"""Errors that a caller can do something about: each has a stable `code` that keys its texts."""


class AmarreError(Exception):
    """Something that the caller can understand and act upon.

    `code` is stable: pages, the REST API and the logs use it, and the French and English
    texts are keyed by it. `facts` are values for these texts; they never hold a secret.
    """

    code = "error"
    status = 500

    def __init__(self, message: str = "", **facts: str | int) -> None:
        """Take an English sentence for logs and the facts for the reader's text."""
        super().__init__(message or self.code)
        self.facts = facts


class NotFoundError(AmarreError):
    """There is no such thing, or the caller may not know of it."""

    code = "not_found"
    status = 404


class ForbiddenError(AmarreError):
    """The caller is known, and may not do this."""

    code = "forbidden"
    status = 403


class UnauthenticatedError(AmarreError):
    """Nobody said who calls, or what was said is not valid."""

    code = "unauthenticated"
    status = 401


class InvalidError(AmarreError):
    """The request cannot be carried out as it is; `facts['field']` names what to change."""

    code = "invalid"
    status = 422


class ConflictError(AmarreError):
    """The request does not fit the present state."""

    code = "conflict"
    status = 409


class TooManyError(AmarreError):
    """The caller must wait; `facts['retry_after_s']` says how long."""

    code = "too_many_requests"
    status = 429


class UnavailableError(AmarreError):
    """A part that this needs is not there right now; the same request may work later."""

    code = "unavailable"
    status = 503
