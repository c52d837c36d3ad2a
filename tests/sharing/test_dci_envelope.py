"""Taking a body apart: what is signed are the very bytes, and whatever comes is an envelope or is refused."""

import base64
import json
import time

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sharing.dci import signature
from sharing.dci.envelope import Envelope, Malformed, closed, opened

CHARACTERS = st.characters(codec="utf-8", exclude_characters="\0")
SPACE = st.text(" \t\r\n", max_size=3)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False) | st.text(CHARACTERS, max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(CHARACTERS, max_size=5), inner, max_size=3), max_leaves=5,
)  # fmt: skip
OBJECTS = st.dictionaries(st.text(CHARACTERS, max_size=5), VALUES, max_size=4)
KEY = Ed25519PrivateKey.generate()


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(
    header=OBJECTS,
    message=OBJECTS,
    extra=VALUES,
    space=st.tuples(*[SPACE] * 8),
    indent=st.sampled_from([None, 1]),
    ascii=st.booleans(),
    order=st.permutations([0, 1, 2, 3]),
)
def test_header_and_message_are_taken_as_they_stand_in_the_body(header, message, extra, space, indent, ascii, order):
    texts = [json.dumps(v, indent=indent, ensure_ascii=ascii) for v in (header, message, "s", extra)]
    names = ["header", "message", "signature", "other"]
    members = [f'"{names[n]}"{space[n]}:{space[n + 1]}{texts[n]}' for n in order]
    body = space[6] + "{" + space[7] + f"{space[5]},{space[6]}".join(members) + "}" + space[7]
    found = opened(body.encode())
    assert (found.header, found.message, found.signature) == (texts[0], texts[1], "s")
    assert found.signed == f'{{"header":{texts[0]},"message":{texts[1]}}}'.encode()
    assert json.loads(found.signed) == {"header": header, "message": message}


@given(st.binary(max_size=200) | VALUES.map(lambda v: json.dumps(v).encode()) | st.text(max_size=100).map(str.encode))
def test_whatever_comes_is_an_envelope_or_is_refused(body):
    try:
        assert isinstance(opened(body), Envelope)
    except Malformed:
        pass


@given(OBJECTS, OBJECTS, st.text(CHARACTERS, min_size=1))
def test_what_was_closed_is_opened_again(header, message, text):
    top, inner = json.dumps(header).encode(), json.dumps(message).encode()
    found = opened(closed(top, inner, text))
    assert (found.header.encode(), (found.message or "").encode(), found.signature) == (top, inner, text)


@given(text=st.text(st.sampled_from("\\u0a\0"), max_size=8))
def test_a_text_that_holds_nul_is_refused_and_no_other(text):
    body = json.dumps({"header": {"text": text}}).encode()
    if "\0" in text:
        with pytest.raises(Malformed, match="NUL"):
            opened(body)
    else:
        assert json.loads(opened(body).header) == {"text": text}


def jwks(key=KEY, **changed):
    x = base64.urlsafe_b64encode(key.public_key().public_bytes_raw()).rstrip(b"=").decode()
    return {"keys": [{"kty": "OKP", "crv": "Ed25519", "x": x, "kid": "k1", **changed}]}


@given(st.binary(max_size=100), st.binary(max_size=100))
def test_a_signature_holds_for_what_was_signed_and_for_nothing_else(signed, other):
    made = signature.read(signature.made(KEY, "me", "k1", signed, int(time.time())))
    assert made is not None and signature.is_timely(made, time.time())
    assert signature.holds(made, signed, jwks())
    assert signature.holds(made, other, jwks()) is (other == signed)
    assert not signature.holds(made, signed, jwks(Ed25519PrivateKey.generate()))


@pytest.mark.parametrize("changed", [{"kid": "k2"}, {"use": "enc"}, {"crv": "X25519"}, {"kty": "EC"}, {"x": "AAAA"}, {"x": 5}])
def test_a_key_of_another_name_use_or_kind_verifies_nothing(changed):
    made = signature.read(signature.made(KEY, "me", "k1", b"x", int(time.time())))
    assert made is not None and not signature.holds(made, b"x", jwks(**changed))
    assert not signature.holds(made, b"x", {})


@given(st.text(max_size=300) | st.lists(st.tuples(st.sampled_from(["kidId", "created", "expires", "headers", "algorithm", "signature", "x"]), st.text(max_size=20))).map(
    lambda parts: ", ".join(f'{name}="{value}"' for name, value in parts)))  # fmt: skip
def test_whatever_stands_in_the_place_of_a_signature_is_one_or_none(text):
    found = signature.read(text)
    assert found is None or found.sender_id


def test_a_part_that_stands_twice_makes_no_signature():
    text = signature.made(KEY, "me", "k1", b"x", int(time.time()))
    assert signature.read(text) is not None and signature.read(f'{text}, created="1"') is None


@pytest.mark.parametrize(
    ("created", "expires", "is_timely"),
    [(0, 60, True), (29, 60, True), (31, 90, False), (-600, 0, True), (-600, -31, False), (0, 601, False), (0, 0, False), (60, 0, False)],
)
def test_a_signature_may_be_used_while_it_lasts_by_both_clocks(created, expires, is_timely):
    now = 1_800_000_000.0
    found = signature.Signature("me", "k1", int(now) + created, int(now) + expires, b"")
    assert signature.is_timely(found, now) is is_timely
