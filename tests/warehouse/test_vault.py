"""Sealed objects open whole or not at all."""

import io

import pytest

from hub.crypto_suite import INTERNATIONAL, SM
from warehouse import vault

KEY = bytes(range(32))
BEFORE = "4855424c414e4431121275cbe1b7e6f2841bcb460000001d092d3d6685625e29866eb790d211fbcd28d2d78b77f3929c9be49e9ad1"
SUITES = pytest.mark.parametrize("suite", [INTERNATIONAL, SM], ids=lambda s: s.name.value)


def sealed(plain: bytes, suite=INTERNATIONAL) -> bytes:
    target = io.BytesIO()
    sealer = vault.Sealer(target, KEY, suite)
    sealer.write(plain)
    sealer.close()
    return target.getvalue()


def opened(data: bytes, key: bytes = KEY) -> bytes:
    return b"".join(vault.unseal(io.BytesIO(data), key, where="test"))


@SUITES
@pytest.mark.parametrize("size", [0, 1, (1 << 20) - 1, 1 << 20, (1 << 20) + 1, 3 << 20])
def test_what_was_sealed_opens_whatever_suite_is_in_force(size, suite):
    plain = b"x" * size
    data = sealed(plain, suite)
    assert opened(data) == plain
    assert data[:8] == {"international": b"HUBLAND1", "sm": b"HUBLSM41"}[suite.name]


@SUITES
def test_another_key_opens_nothing(suite):
    with pytest.raises(vault.VaultDamaged):
        opened(sealed(b"secret", suite), bytes(32))


@pytest.mark.parametrize(("suite", "other"), [(INTERNATIONAL, SM), (SM, INTERNATIONAL)])
def test_an_object_that_claims_another_suite_does_not_open(suite, other):
    with pytest.raises(vault.VaultDamaged):
        opened(other.magic + sealed(b"secret", suite)[8:])


def test_an_object_sealed_before_there_were_suites_opens():
    """Its bytes were written down when there was one."""
    assert opened(bytes.fromhex(BEFORE)) == b"landed before"


@SUITES
@pytest.mark.parametrize("cut", [1, 100, 1 << 20, (1 << 20) + 20 + 4 + 16])
def test_a_cut_off_object_does_not_open(cut, suite):
    data = sealed(b"x" * (2 << 20), suite)
    with pytest.raises(vault.VaultDamaged):
        opened(data[:-cut])


@SUITES
def test_a_changed_byte_is_found(suite):
    data = bytearray(sealed(b"x" * 100, suite))
    data[60] ^= 1
    with pytest.raises(vault.VaultDamaged):
        opened(bytes(data))
