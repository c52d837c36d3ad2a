"""The suites are the standards': held against the vectors they print, and against second implementations."""

import subprocess
import sys

import gmssl_pyx
import pytest
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.hashes import SM3
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from hypothesis import given
from hypothesis import strategies as st

from hub.crypto_suite import INTERNATIONAL, SIGNER, SM, Sm2Verifying, chosen
from hub.errors import ConfigError
from hub.settings import CHECKOUT, Settings
from sharing.offline import verify_log
from tests.examples import examples
from tests.hub import plain_sm4

# GB/T 32905-2016, appendix A.
SM3_PRINTED = (
    (b"abc", "66c7f0f462eeedd9d1f2d46bdc10e4e24167c4875cf2f7a2297da02b8f4ba8e0"),
    (b"abcd" * 16, "debe9ff92275b8a138604889c18e5a4d6fdb70e5387e5765293dcba39c0c5732"),
)
# GB/T 32907-2016, appendix A: one block, and the same a million times.
SM4_KEY = bytes.fromhex("0123456789abcdeffedcba9876543210")
SM4_BLOCK = "681edf34d206965e86b3e94f536e4246"
# RFC 8998, appendix A.1.
GCM_NONCE = bytes.fromhex("00001234567800000000abcd")
GCM_ASSOCIATED = bytes.fromhex("feedfacedeadbeeffeedfacedeadbeefabaddad2")
GCM_PLAIN = bytes.fromhex("".join(c * 16 for c in "abcdef") + "e" * 16 + "a" * 16)
GCM_SEALED = bytes.fromhex(
    "17f399f08c67d5ee19d0dc9969c4bb7d5fd46fd3756489069157b282bb200735d82710ca5c22f0ccfa7cbf93d496ac15a56834cbcf98c397b4024a2691233b8d"
    "83de3541e4c2b58177e065a9bf7b62ec"
)
# GB/T 32918.5-2017, appendix A.2: signed with a number that the standard names.
SM2_POINT = bytes.fromhex(
    "09f9df311e5421a150dd7d161e4bc5c672179fad1833fc076bb08ff356f35020ccea490ce26775a52dc6ea718cc1aa600aed05fbf35e084a6632f6072da9ad13"
)
SM2_PRIVATE = 0x3945208F7B2144B13F36E38AC6D39F95889393692860B51A42FB81EF4DF7C5B8
SM2_NUMBER = 0x59276E27D506861A16680F3AD9C02DCCEF3CC1FA3CDBE4CE6D54B80DEAC1BC21
SM2_HASH = 0xF0B43E94BA45ACCAACE692ED534382EB17E6AB5A19CE7B31F4486FDFC0D28640
SM2_TEXT = b"message digest"
SM2_SIGNATURE = bytes.fromhex(
    "f5a03b0648d2c4630eeac513e1bb81a15944da3827d5b74143ac7eaceee720b3b1b6aa29df212fd8763182bc0d421ca1bb9038fd1f7f42d4840b69c485bbc1aa"
)


@pytest.mark.parametrize(("data", "printed"), SM3_PRINTED, ids=["one block", "two blocks"])
def test_sm3_is_that_of_the_standard(data: bytes, printed: str) -> None:
    assert SM.digest(data).hex() == printed


@examples(200)
@given(st.binary(max_size=300))
def test_sm3_is_that_of_two_other_implementations(data: bytes) -> None:
    assert SM.digest(data) == gmssl_pyx.sm3_hash(data) == verify_log.sm3(data)


def test_sm4_written_down_a_second_time_is_that_of_the_standard() -> None:
    keys = plain_sm4.round_keys(SM4_KEY)
    assert plain_sm4.encrypted(keys, SM4_KEY).hex() == SM4_BLOCK
    assert plain_sm4.gcm(SM4_KEY, GCM_NONCE, GCM_PLAIN, GCM_ASSOCIATED) == GCM_SEALED


def derived(key: bytes) -> bytes:
    """The 16-byte key of SM4 that the suite makes of 32 bytes."""
    return HKDF(SM3(), 16, salt=None, info=b"assistance-hub SM4-GCM").derive(key)


def test_sm4_gcm_seals_as_the_rfc_prints_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(HKDF, "derive", lambda *_: SM4_KEY)  # the RFC's key is what the suite would derive
    cipher = SM.aead(bytes(32))
    assert cipher.encrypt(GCM_NONCE, GCM_PLAIN, GCM_ASSOCIATED) == GCM_SEALED
    assert cipher.decrypt(GCM_NONCE, GCM_SEALED, GCM_ASSOCIATED) == GCM_PLAIN


@examples(30)
@given(
    key=st.binary(min_size=32, max_size=32),
    nonce=st.binary(min_size=12, max_size=12),
    plain=st.binary(max_size=80),
    told=st.binary(max_size=40),
)
def test_sm4_gcm_seals_as_two_other_implementations_do(key: bytes, nonce: bytes, plain: bytes, told: bytes) -> None:
    sealed = SM.aead(key).encrypt(nonce, plain, told)
    assert sealed == plain_sm4.gcm(derived(key), nonce, plain, told)
    if plain:  # that library refuses to seal nothing
        assert sealed == b"".join(gmssl_pyx.sm4_gcm_encrypt(derived(key), nonce, told, plain))
    assert SM.aead(key).decrypt(nonce, sealed, told) == plain


@pytest.mark.parametrize("suite", [INTERNATIONAL, SM], ids=lambda s: s.name.value)
@examples(50)
@given(plain=st.binary(max_size=50), data=st.data())
def test_nothing_that_was_changed_opens(suite, plain: bytes, data: st.DataObject) -> None:  # type: ignore[no-untyped-def]
    cipher = suite.aead(bytes(range(32)))
    sealed = bytearray(cipher.encrypt(bytes(12), plain, b"place 1"))
    place = data.draw(st.integers(0, len(sealed) - 1))
    for wrong in (bytes([*sealed[:place], sealed[place] ^ 1, *sealed[place + 1 :]]), bytes(sealed[:place])):
        with pytest.raises(InvalidTag):
            cipher.decrypt(bytes(12), wrong, b"place 1")
    for nonce, told in ((bytes(11) + b"\x01", b"place 1"), (bytes(12), b"place 2")):
        with pytest.raises(InvalidTag):
            cipher.decrypt(nonce, bytes(sealed), told)


def signed_with(private: int, number: int, point: bytes, text: bytes) -> bytes:
    """The signature of GB/T 32918.2 section 6.1 with a number that is given and not drawn."""
    r = (verify_log.sm2_hash(point, text) + verify_log.times(number, verify_log.G)[0]) % verify_log.N
    s = pow(1 + private, -1, verify_log.N) * (number - r * private) % verify_log.N
    return r.to_bytes(32, "big") + s.to_bytes(32, "big")


def test_sm2_written_down_a_second_time_signs_as_the_standard_prints_it() -> None:
    x, y = verify_log.times(SM2_PRIVATE, verify_log.G)
    assert x.to_bytes(32, "big") + y.to_bytes(32, "big") == SM2_POINT
    assert verify_log.sm2_hash(SM2_POINT, SM2_TEXT) == SM2_HASH
    assert signed_with(SM2_PRIVATE, SM2_NUMBER, SM2_POINT, SM2_TEXT) == SM2_SIGNATURE
    assert verify_log.sm2_verifies(SM2_POINT, SM2_SIGNATURE, SM2_TEXT)


@examples(20)
@given(text=st.binary(max_size=200), number=st.integers(1, verify_log.N - 1), data=st.data())
def test_sm2_of_the_library_and_of_the_second_implementation_take_and_refuse_the_same(
    text: bytes, number: int, data: st.DataObject
) -> None:
    secret = SM.new_secret()
    key, point = SM.signing_key(secret), secret[32:]
    theirs = signed_with(int.from_bytes(secret[:32], "big"), number, point, text)
    for signature in (key.sign(text), theirs):
        assert key.public_key().verifies(signature, text) and verify_log.sm2_verifies(point, signature, text)
        spoilt = bytearray(signature)
        spoilt[data.draw(st.integers(0, 63))] ^= 1 << data.draw(st.integers(0, 7))
        for wrong, told in ((bytes(spoilt), text), (signature, text + b"."), (signature[32:] + signature[:32], text)):
            assert not key.public_key().verifies(wrong, told) and not verify_log.sm2_verifies(point, wrong, told)


def test_sm2_verifies_the_signature_of_the_standard_and_no_other() -> None:
    key = Sm2Verifying(SM2_POINT)
    assert SIGNER == b"1234567812345678" and key.verifies(SM2_SIGNATURE, SM2_TEXT)
    assert not key.verifies(SM2_SIGNATURE, b"message digesu")
    for wrong in (SM2_SIGNATURE[32:] + SM2_SIGNATURE[:32], bytes(64), b"\xff" * 64, SM2_SIGNATURE[:-1], b""):
        assert not key.verifies(wrong, SM2_TEXT) and not verify_log.sm2_verifies(SM2_POINT, wrong, SM2_TEXT)
    beside = SM2_POINT[:-1] + b"\x00"
    assert not Sm2Verifying(beside).verifies(SM2_SIGNATURE, SM2_TEXT) and not verify_log.sm2_verifies(beside, SM2_SIGNATURE, SM2_TEXT)


@pytest.mark.parametrize("suite", [INTERNATIONAL, SM], ids=lambda s: s.name.value)
def test_a_key_signs_what_its_public_half_alone_verifies(suite) -> None:  # type: ignore[no-untyped-def]
    key, other = (suite.signing_key(suite.new_secret()) for _ in range(2))
    signature = key.sign(b"a tree head")
    assert len(signature) == 64 and key.public_key().verifies(signature, b"a tree head")
    assert not other.public_key().verifies(signature, b"a tree head")
    assert not key.public_key().verifies(signature, b"another one")
    assert repr(key.secret) not in repr(key)
    with pytest.raises(ConfigError):
        suite.signing_key(bytes(7))


def test_the_setting_chooses_and_the_default_is_international() -> None:
    assert chosen(Settings()) is INTERNATIONAL  # type: ignore[call-arg]
    assert chosen(Settings(crypto_suite="sm")) is SM  # type: ignore[call-arg]


def test_the_default_loads_nothing_of_the_other_suite() -> None:
    work = "from hub.crypto_suite import INTERNATIONAL as i; i.digest(b''); i.aead(bytes(32)); k = i.signing_key(i.new_secret());"
    work += " assert k.public_key().verifies(k.sign(b'x'), b'x'); import sys; sys.exit('gmssl_pyx' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", work], cwd=CHECKOUT, check=False).returncode == 0


def test_without_the_package_for_sm2_its_absence_is_told_with_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "gmssl_pyx", None)
    with pytest.raises(ConfigError, match="HUB_CRYPTO_SUITE.*gmssl-pyx.*install"):
        SM.new_secret()
