"""What can keep the embedded server from running, and what its owner can do about it."""

import errno
from pathlib import Path

from amarre.core.errors import AmarreError, ConflictError, UnavailableError


class EmbeddedError(UnavailableError):
    """The embedded server does not run. Nothing in its data directory was lost or changed."""

    code = "embedded_error"


class EmbeddedStartError(EmbeddedError):
    """The server stopped or stayed silent while it started; `facts['log']` names the file that says why."""

    code = "embedded_start"


class EmbeddedBusyError(ConflictError):
    """Another process supervises this data directory; `facts['pid']` says which."""

    code = "embedded_busy"


class EmbeddedVersionError(AmarreError):
    """The data directory was made by another major version of PostgreSQL, which alone can read it."""

    code = "embedded_version"


class EmbeddedDirectoryError(EmbeddedError):
    """The data directory cannot be read or written by us, or by the user that the server runs as."""

    code = "embedded_directory"


class EmbeddedDiskFullError(EmbeddedError):
    """There is no room left for the data directory. Free some, then start again."""

    code = "embedded_disk_full"


class EmbeddedUserError(EmbeddedError):
    """We are root, PostgreSQL refuses root, and this machine has no unprivileged user to run it as."""

    code = "embedded_user"


def explain_os_error(error: OSError, directory: Path) -> AmarreError:
    """Turn an error of the file system into one that says what to do."""
    if error.errno == errno.ENOSPC:
        return no_room(directory)
    return no_access(directory, str(error))


def explain_log(text: str, *, directory: Path, log: Path) -> AmarreError:
    """Turn the last words of a PostgreSQL program into an error that says what to do."""
    if "No space left on device" in text:
        return no_room(directory)
    last = " | ".join(text.strip().splitlines()[-5:])
    if "Permission denied" in text or "Read-only file system" in text:
        return no_access(directory, last)
    return EmbeddedStartError(f"The embedded server did not start: {last}", log=str(log))


def no_room(directory: Path) -> EmbeddedDiskFullError:
    """Say that the disk is full."""
    return EmbeddedDiskFullError(
        f"No room is left in {directory}. Free some, then start again.", directory=str(directory)
    )


def no_access(directory: Path, why: str) -> EmbeddedDirectoryError:
    """Say that we or the server may not use the directory."""
    return EmbeddedDirectoryError(
        f"{directory} cannot be used: {why}. Give it to the user that runs Amarre, or choose another.",
        directory=str(directory),
    )
