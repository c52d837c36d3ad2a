"""A checkpoint says what its key signed, and nothing else."""

import base64
from datetime import UTC, datetime

import pytest

from hub.crypto_suite import INTERNATIONAL, SM
from hub.errors import ConfigError
from sharing import checkpoint
from sharing.offline import verify_log

KEY = INTERNATIONAL.signing_key(bytes(range(32)))
OTHER = INTERNATIONAL.signing_key(bytes(32))
AT = datetime(2026, 3, 1, 8, tzinfo=UTC)


def note(**changed: object) -> str:
    values = {"origin": "hub/pool", "size": 7, "root": b"r" * 32, "signed_at": AT, "key": KEY} | changed
    return checkpoint.sign(**values)  # type: ignore[arg-type]


def test_it_is_read_back() -> None:
    found = checkpoint.read(note(), KEY.public_key())
    assert (found.origin, found.size, found.root, found.signed_at) == ("hub/pool", 7, b"r" * 32, AT)


def test_it_has_the_form_of_a_signed_note() -> None:
    lines = note().split("\n")
    assert lines[:3] == ["hub/pool", "7", base64.b64encode(b"r" * 32).decode()]
    assert lines[4] == "" and lines[5].startswith("— hub/pool ") and lines[6] == ""


@pytest.mark.parametrize(
    "spoilt",
    [
        note().replace("\n7\n", "\n8\n"),
        note().replace(base64.b64encode(b"r" * 32).decode(), base64.b64encode(b"s" * 32).decode()),
        note().replace("08:00:00", "09:00:00"),
        note(key=OTHER),
        note().replace("hub/pool\n7", "hub/else\n7"),
        note().replace("\n7\n", "\n07\n"),
        note()[:-2],
        note() + "more",
        "",
        note().split("\n\n")[0],
    ],
)
def test_anything_else_is_refused(spoilt: str) -> None:
    with pytest.raises(ConfigError):
        checkpoint.read(spoilt, KEY.public_key())


def test_a_signature_beside_the_right_one_does_no_harm() -> None:
    """As when a witness signs below."""
    text, own = note().split("\n\n")
    foreign = note(key=OTHER).split("\n\n")[1]
    assert checkpoint.read(f"{text}\n\n{foreign}{own}", KEY.public_key()).size == 7


def test_the_public_key_is_one_line_with_its_hash() -> None:
    name, digest, key = checkpoint.verifier_key("hub/pool", KEY.public_key()).split("+", 2)
    assert name == "hub/pool" and len(digest) == 8
    assert base64.b64decode(key) == b"\x01" + KEY.public_key().raw


SM_KEY = SM.signing_key(SM.new_secret())


def test_under_sm2_it_is_read_by_its_own_key_alone_and_the_key_line_says_the_algorithm() -> None:
    text = note(key=SM_KEY)
    assert checkpoint.read(text, SM_KEY.public_key()).size == 7
    for wrong in (KEY, SM.signing_key(SM.new_secret())):
        with pytest.raises(ConfigError):
            checkpoint.read(text, wrong.public_key())
    for spoilt in (text.replace("\n7\n", "\n8\n"), note(), text[:-3] + "A=\n"):
        with pytest.raises(ConfigError):
            checkpoint.read(spoilt, SM_KEY.public_key())
    line = checkpoint.verifier_key("hub/pool", SM_KEY.public_key())
    assert base64.b64decode(line.split("+", 2)[2]).startswith(b"\xffassistance-hub/sm2-with-sm3\n")


def test_the_stand_alone_verifier_reads_heads_of_both_suites() -> None:
    for key in (KEY, SM_KEY):
        line = checkpoint.verifier_key("hub/pool", key.public_key())
        assert verify_log.read_head(note(key=key), line) == (7, b"r" * 32)
        with pytest.raises(ValueError, match="not signed"):
            verify_log.read_head(note(key=key), checkpoint.verifier_key("hub/pool", (SM_KEY if key is KEY else KEY).public_key()))
        with pytest.raises(ValueError, match="not good"):
            verify_log.read_head(note(key=key).replace("\n7\n", "\n8\n"), line)
