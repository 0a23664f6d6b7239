"""The codes of a simulated WhatsApp: their text, their picture, the pairing code beside them."""

import base64
import secrets
from dataclasses import dataclass

import segno

from amarre.simulators.evolution_facts import Json

PAIRING_ALPHABET = "123456789ABCDEFGHJKLMNPQRSTVWXYZ"
BLANK = (
    "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAQAAAC1HAwC"
    "AAAAC0lEQVR42mNk+A8AAQUBAScY42YAAAAASUVORK5CYII="
)


@dataclass(frozen=True, slots=True)
class Shown:
    """The code in an instance's memory, alive or not. `count` is Evolution's own counter."""

    count: int = 0
    code: str | None = None
    pairing_code: str | None = None
    image: str | None = None

    def answer(self) -> Json:
        """Write it as `connect` answers it: only the counter while there is no code."""
        if self.code is None:
            return {"count": self.count}
        return {
            "pairingCode": self.pairing_code,
            "code": self.code,
            "base64": self.image,
            "count": self.count,
        }


def make_code() -> str:
    """Make up the text of a code: a one-time reference and three keys."""
    reference = base64.b64encode(secrets.token_bytes(54)).decode()
    keys = (base64.b64encode(secrets.token_bytes(32)).decode() for _ in range(3))
    return "2@" + ",".join([reference, *keys])


def make_pairing_code() -> str:
    """Make up the eight characters that can be typed on a phone instead."""
    return "".join(secrets.choice(PAIRING_ALPHABET) for _ in range(8))


def draw(code: str) -> str:
    """Draw a code as a PNG data URL."""
    return segno.make(code, error="m", micro=False).png_data_uri(scale=4, border=4)
