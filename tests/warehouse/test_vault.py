"""Sealed objects open whole or not at all."""

import io

import pytest

from warehouse import vault

KEY = bytes(range(32))


def sealed(plain: bytes) -> bytes:
    target = io.BytesIO()
    sealer = vault.Sealer(target, KEY)
    sealer.write(plain)
    sealer.close()
    return target.getvalue()


def opened(data: bytes, key: bytes = KEY) -> bytes:
    return b"".join(vault.unseal(io.BytesIO(data), key, where="test"))


@pytest.mark.parametrize("size", [0, 1, (1 << 20) - 1, 1 << 20, (1 << 20) + 1, 3 << 20])
def test_what_was_sealed_opens(size):
    plain = b"x" * size
    assert opened(sealed(plain)) == plain


def test_another_key_opens_nothing():
    with pytest.raises(vault.VaultDamaged):
        opened(sealed(b"secret"), bytes(32))


@pytest.mark.parametrize("cut", [1, 100, 1 << 20, (1 << 20) + 20 + 4 + 16])
def test_a_cut_off_object_does_not_open(cut):
    data = sealed(b"x" * (2 << 20))
    with pytest.raises(vault.VaultDamaged):
        opened(data[:-cut])


def test_a_changed_byte_is_found():
    data = bytearray(sealed(b"x" * 100))
    data[60] ^= 1
    with pytest.raises(vault.VaultDamaged):
        opened(bytes(data))
