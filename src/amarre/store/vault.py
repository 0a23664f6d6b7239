"""Secrets at rest: sealed with the installation's key, or hashed when they are only looked up."""

import hashlib
import hmac
import secrets
from dataclasses import dataclass, field
from uuid import UUID

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from amarre.core.errors import AmarreError
from amarre.store.conn import Conn

NONCE_BYTES = 12
SHORTEST_KEY = 32


class SecretKeyError(AmarreError):
    """AMARRE_SECRET_KEY is missing, too short, or not the one that this database was set up with."""

    code = "secret_key"


class SealBrokenError(AmarreError):
    """A secret cannot be opened: it was changed, or belongs to another row or another key."""

    code = "seal_broken"


def hash_secret(secret: str) -> bytes:
    """Hash a random secret of at least 128 bits, to be looked up. Not for passwords."""
    return hashlib.sha256(secret.encode()).digest()


def new_secret() -> str:
    """Make a secret of 256 bits that fits into a header or a URL."""
    return secrets.token_urlsafe(32)


@dataclass(frozen=True, slots=True)
class Vault:
    """Seals and opens secrets. Each seal is bound to the row that it belongs to.

    Raises:
        SecretKeyError: the key has fewer than 32 characters.
    """

    key: str = field(repr=False)

    def __post_init__(self) -> None:
        """Refuse a key that could be guessed."""
        if len(self.key) < SHORTEST_KEY:
            raise SecretKeyError(f"AMARRE_SECRET_KEY needs at least {SHORTEST_KEY} characters")

    def seal(self, secret: str, *, owner: UUID) -> bytes:
        """Encrypt a secret for the row `owner` (AES-256-GCM; nonce first)."""
        nonce = secrets.token_bytes(NONCE_BYTES)
        return nonce + AESGCM(self._derive(b"seal")).encrypt(nonce, secret.encode(), owner.bytes)

    def open(self, sealed: bytes, *, owner: UUID) -> str:
        """Decrypt what `seal` made for the same row.

        Raises:
            SealBrokenError: it was not sealed by this key for this row.
        """
        try:
            cipher = AESGCM(self._derive(b"seal"))
            return cipher.decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], owner.bytes).decode()
        except (InvalidTag, ValueError) as broken:
            raise SealBrokenError(f"the secret of {owner} cannot be opened") from broken

    def check_value(self) -> bytes:
        """Derive a value that proves the key without telling it."""
        return self._derive(b"check")

    def derive_text(self, purpose: str) -> str:
        """Derive a key for another purpose (for example signed forms), as text."""
        return self._derive(purpose.encode()).hex()

    def _derive(self, purpose: bytes) -> bytes:
        hkdf = HKDF(algorithm=hashes.SHA256(), length=32, salt=b"amarre", info=purpose)
        return hkdf.derive(self.key.encode())


KEEP_CHECK = """
    update amarre.installation
       set secret_key_check = coalesce(secret_key_check, %(check)s)
     where one
 returning secret_key_check
"""


async def prove_key(conn: Conn, vault: Vault) -> None:
    """Compare the key with the one that this database was set up with; the first one is kept.

    Raises:
        SecretKeyError: it is another key.
    """
    cursor = await conn.execute(KEEP_CHECK, {"check": vault.check_value()})
    row = await cursor.fetchone()
    if row is None or not hmac.compare_digest(bytes(row["secret_key_check"]), vault.check_value()):
        raise SecretKeyError("AMARRE_SECRET_KEY is not the key that this database was set up with")
