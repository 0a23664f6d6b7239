"""Secrets at rest: useless without the key, and useless in another row."""

from uuid import uuid4

import pytest

from amarre.store.vault import SealBrokenError, SecretKeyError, Vault, hash_secret, new_secret, prove_key

KEY = "a-key-of-the-tests-0123456789-abcdefgh"
OTHER = "another-key-of-the-tests-0123456789-ab"


@pytest.mark.parametrize("secret", ["token", "", "é\0🇫🇷", "x" * 10_000])
def test_what_was_sealed_is_opened_again(secret):
    vault, owner = Vault(KEY), uuid4()

    assert vault.open(vault.seal(secret, owner=owner), owner=owner) == secret


def test_two_seals_of_one_secret_differ():
    vault, owner = Vault(KEY), uuid4()

    assert vault.seal("token", owner=owner) != vault.seal("token", owner=owner)


def test_a_seal_moved_to_another_row_is_refused():
    vault = Vault(KEY)

    with pytest.raises(SealBrokenError):
        vault.open(vault.seal("token", owner=uuid4()), owner=uuid4())


@pytest.mark.parametrize("place", [0, 11, 12, -1])
def test_a_changed_seal_is_refused(place):
    vault, owner = Vault(KEY), uuid4()
    sealed = bytearray(vault.seal("token", owner=owner))
    sealed[place] ^= 1

    with pytest.raises(SealBrokenError):
        vault.open(bytes(sealed), owner=owner)


@pytest.mark.parametrize("torn", [b"", b"short", bytes(12), bytes(27)])
def test_what_is_no_seal_at_all_is_refused(torn):
    with pytest.raises(SealBrokenError):
        Vault(KEY).open(torn, owner=uuid4())


def test_another_key_opens_nothing():
    owner = uuid4()

    with pytest.raises(SealBrokenError):
        Vault(OTHER).open(Vault(KEY).seal("token", owner=owner), owner=owner)


def test_a_short_key_is_refused():
    with pytest.raises(SecretKeyError, match="32 characters"):
        Vault("too short")


def test_the_key_is_not_shown():
    assert KEY not in repr(Vault(KEY))


def test_keys_for_other_purposes_tell_nothing_of_one_another():
    vault = Vault(KEY)

    assert len({vault.derive_text("forms"), vault.derive_text("links"), vault.check_value().hex()}) == 3


def test_new_secrets_are_long_and_never_the_same():
    assert len({new_secret() for _ in range(100)}) == 100
    assert len(new_secret()) >= 43
    assert hash_secret("a") != hash_secret("b")


async def test_the_first_key_is_kept_and_any_other_is_refused(conn):
    await prove_key(conn, Vault(KEY))
    await prove_key(conn, Vault(KEY))

    with pytest.raises(SecretKeyError, match="not the key"):
        await prove_key(conn, Vault(OTHER))
