"""What the errors' codes say to a reader. English is the source; the catalogs translate it.

A text says what happened and what can be done about it. `%(name)s` stands for a fact of
the error; a fact that is missing becomes a dash, never a failure.
"""

from typing import Final


def mark(text: str) -> str:
    """Mark a text for the catalogs; it is translated where it is used."""
    return text


def mark_in(_context: str, text: str) -> str:
    """Mark a text that another language says differently in this context."""
    return text


UNKNOWN_CODE: Final = mark("Something went wrong (%(code)s).")

ERRORS: Final[dict[str, str]] = {
    "error": mark("Something went wrong on our side. It is in the log; nothing was half done."),
    "not_found": mark("There is nothing here, or it is not yours to see."),
    "link_used": mark("This link has been used: it works once. Ask for a new one."),
    "method_not_allowed": mark("This address does not take that kind of request."),
    "forbidden": mark("You may not do this. Ask an administrator of your team."),
    "unauthenticated": mark("Log in first, or send a valid key."),
    "wrong_login": mark("Unknown address or password."),
    "invalid": mark("This cannot be right: %(field)s."),
    "conflict": mark("This does not fit the present state. Reload the page to see it."),
    "too_many_requests": mark("Too many tries. Wait %(retry_after_s)s s, then try again."),
    "too_large": mark("What was sent is too large."),
    "unavailable": mark("A part that this needs does not answer right now. Try again in a moment."),
    "settings": mark("A setting cannot be used: %(name)s."),
    "address_taken": mark("Something else listens on this address. Choose another port."),
    "database_down": mark(
        "The database does not answer. Deliveries are refused and sent again: nothing is lost."
    ),
    "database_too_old": mark("The database is older than this version. Run “amarre db migrate”."),
    "secret_key": mark("The secret key is missing or too short, so stored secrets cannot be used."),
    "seal_broken": mark("A stored secret was sealed with another key. Restore the former secret key."),
    "embedded_error": mark("The built-in database has a problem."),
    "embedded_start": mark("The built-in database does not start. Its log says why."),
    "embedded_busy": mark("Another process uses this data directory."),
    "embedded_version": mark("The data directory belongs to another version of PostgreSQL."),
    "embedded_directory": mark("The data directory cannot be used: check its path and its rights."),
    "embedded_disk_full": mark("The disk is full. Free some space; the database then goes on by itself."),
    "embedded_user": mark("The built-in database cannot run as this user."),
    "database_newer": mark("The database is newer than this version. Run the newer version."),
    "database_not_running": mark("The built-in database does not run. Start the service first."),
    "migration_busy": mark("Another process migrates the database. Wait for it to end."),
    "migration_changed": mark(
        "A migration that was applied has been changed since. Install the right version."
    ),
    "migration_failed": mark("A migration failed and was rolled back: the database is as before."),
    "missing_right": mark("The database user lacks a right: %(right)s."),
    "tool_failed": mark("A database tool failed. What it said is in the log."),
    "gateway_error": mark("The gateway did not do what was asked."),
    "gateway_silent": mark("The gateway did not answer in time. It is asked again by itself."),
    "gateway_unreachable": mark("The gateway cannot be reached. It is tried again by itself."),
    "gateway_refused": mark("The gateway refuses our key. An administrator must correct it."),
    "gateway_unlicensed": mark("The gateway wants its licence activated. An administrator must do that."),
    "gateway_busy": mark("The gateway asks us to slow down. It goes on by itself."),
    "gateway_broken": mark("The gateway answered with an error of its own. It is tried again by itself."),
    "gateway_unclear": mark("The gateway gave an answer that cannot be read. Nothing was concluded from it."),
    "gateway_invalid": mark("The gateway refuses the request as it is."),
    "gateway_unknown": mark("This gateway is not configured here."),
    "no_gateway": mark("No gateway can take this instance right now. It is tried again by itself."),
    "instance_missing": mark("The gateway has no such instance."),
    "name_taken": mark("The gateway already has an instance of this name."),
    "not_connected": mark("The instance is not connected to WhatsApp."),
    "webhook_missing": mark("The gateway did not keep the webhook. It is set again by itself."),
}
