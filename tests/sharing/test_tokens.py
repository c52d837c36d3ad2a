"""Tokens: for this service, for a short time, by our own key; anything else is none."""

import base64
import json
import time

import pytest
from joserfc import jwt
from joserfc.jwk import KeySet, OctKey, OKPKey

from hub.settings import Settings
from sharing import secret, signing_keys, tokens
from sharing.signing_keys import Use
from sharing.tokens import Tokens

AUDIENCE = "https://hub.test"


@pytest.fixture
def settings(tmp_path):
    return Settings(home=tmp_path)


@pytest.fixture
def service(settings):
    return Tokens(settings, AUDIENCE)


def forged(service, settings, *, header=None, key=None, **claims):
    """A token of ours with something changed."""
    key_id = signing_keys.held(settings, Use.TOKENS)[-1].key_id
    own = service._usable[key_id]
    now = int(time.time())
    body = {"iss": AUDIENCE, "aud": AUDIENCE, "sub": "c", "exp": now + 60, "iat": now, "department": "d", "generation": 1, **claims}
    top = {"alg": "Ed25519", "typ": "at+jwt", "kid": own.kid, **(header or {})}
    return jwt.encode(top, {k: v for k, v in body.items() if v is not None}, key or own, algorithms=["Ed25519", "HS256"])


def test_a_token_says_whose_it_is(service):
    caller = service.caller(service.give("c", "d", 3, frozenset({"p", "q"})))
    assert (caller.client_id, caller.department, caller.generation, caller.purposes) == ("c", "d", 3, {"p", "q"})
    assert 0 < caller.expires_at - time.time() <= tokens.LIFETIME_S <= 600


def test_a_sound_forgery_of_our_own_is_read_so_the_others_fail_for_what_was_changed(service, settings):
    assert service.caller(forged(service, settings)) is not None


@pytest.mark.parametrize(
    "changed",
    [
        {"aud": "https://other.test"}, {"iss": "https://other.test"}, {"aud": None}, {"sub": None}, {"generation": "x"}, {"exp": None},
        {"exp": 1}, {"header": {"typ": "JWT"}}, {"header": {"kid": "000001-00000000"}},
        {"key": OKPKey.generate_key("Ed25519")},
    ],
)  # fmt: skip
def test_a_token_for_another_audience_out_of_time_or_by_another_key_is_none(service, settings, changed):
    assert service.caller(forged(service, settings, **changed)) is None


def test_a_token_without_signature_or_signed_by_the_public_key_as_a_secret_is_none(service, settings):
    good = service.give("c", "d", 1, None)
    head, body, signature = good.split(".")
    none = base64.urlsafe_b64encode(json.dumps({"alg": "none", "typ": "at+jwt"}).encode()).decode().rstrip("=")
    public = OctKey.import_key(json.dumps(service.jwks()["keys"][0]).encode())
    confused = forged(service, settings, header={"alg": "HS256"}, key=public)
    for token in (f"{none}.{body}.", f"{head}.{body}.", f"{head}.{body}.{signature[:-4]}AAAA", confused, "", "x", "a.b.c", "." * 5000):
        assert service.caller(token) is None


def test_a_token_runs_out_even_where_it_was_read_before(service, settings, monkeypatch):
    token = service.give("c", "d", 1, None)
    assert service.caller(token) is not None
    later = time.time() + tokens.LIFETIME_S + 60
    monkeypatch.setattr(tokens.time, "time", lambda: later)
    assert service.caller(token) is None


def test_a_new_key_is_published_before_it_signs_and_the_former_one_verifies_as_long_as_was_said(service, settings, monkeypatch):
    began = time.time()
    at = lambda later: monkeypatch.setattr(time, "time", lambda: began + later)  # noqa: E731
    signer = lambda: json.loads(base64.urlsafe_b64decode(service.give("c", "d", 1, None).split(".")[0] + "=="))["kid"]  # noqa: E731
    (former,) = (k["kid"] for k in service.jwks()["keys"])
    made = signing_keys.rotate(settings, Use.TOKENS, began, 3600.0)
    at(2.1)  # nobody tells it: it looks by itself
    assert {k["kid"] for k in service.jwks()["keys"]} == {former, made.key_id} and signer() == former
    at(signing_keys.PUBLISHED_S - 1)
    before = service.give("c", "d", 1, None)
    at(signing_keys.PUBLISHED_S + 1)
    assert signer() == made.key_id and service.caller(before) is not None
    at(signing_keys.PUBLISHED_S + 3599)
    assert {k["kid"] for k in service.jwks()["keys"]} == {former, made.key_id}
    at(signing_keys.PUBLISHED_S + 3601)
    assert [k["kid"] for k in service.jwks()["keys"]] == [made.key_id]


def test_a_key_somebody_else_may_know_counts_no_more_at_once_where_it_was_read_before_too(service, settings):
    before = service.give("c", "d", 1, None)
    assert service.caller(before) is not None
    made = signing_keys.rotate(settings, Use.TOKENS, time.time(), 0.0)
    service.reload()
    assert service.caller(before) is None and [k["kid"] for k in service.jwks()["keys"]] == [made.key_id]
    assert service.caller(service.give("c", "d", 1, None)) is not None


def test_a_second_change_before_the_first_signs_leaves_one_that_signs_throughout(settings):
    first = signing_keys.held(settings, Use.TOKENS)[0]
    second = signing_keys.rotate(settings, Use.TOKENS, 1000.0, 3600.0)
    third = signing_keys.rotate(settings, Use.TOKENS, 1060.0, 3600.0)
    keys = signing_keys.held(settings, Use.TOKENS)
    signs = [signing_keys.signing(keys, at).key_id for at in (1000.0, 1119.0, 1121.0, 1181.0, 99_999.0)]
    assert signs == [first.key_id, first.key_id, second.key_id, third.key_id, third.key_id]


def test_what_is_over_is_removed_at_the_next_change(settings):
    first = signing_keys.held(settings, Use.DCI)[0]
    signing_keys.rotate(settings, Use.DCI, 1000.0, 3600.0)
    signing_keys.rotate(settings, Use.DCI, 10_000.0, 3600.0)
    assert first.key_id not in {k.key_id for k in signing_keys.held(settings, Use.DCI)}


def test_the_one_key_there_was_before_goes_on_signing_messages(settings):
    kept = settings.secret("dci_message.key")
    (key,) = signing_keys.held(settings, Use.DCI)
    assert key.private.private_bytes_raw().hex() == kept and key.key_id.startswith("dci-")
    assert not (settings.secrets_dir / "dci_message.key").exists() and signing_keys.held(settings, Use.DCI)[0].key_id == key.key_id


def test_the_published_keys_hold_nothing_private_and_verify_a_token(service):
    assert all("d" not in key and key["kty"] == "OKP" for key in service.jwks()["keys"])
    public = KeySet.import_key_set(service.jwks())
    assert jwt.decode(service.give("c", "d", 1, None), public, algorithms=["Ed25519"]).claims["sub"] == "c"


def test_private_keys_are_closed_to_others(service, settings):
    signing_keys.rotate(settings, Use.TOKENS, time.time(), 3600.0)
    first, second = (settings.secrets_dir / "token_keys").iterdir()
    assert (first.stat().st_mode | second.stat().st_mode) & 0o077 == 0 == first.parent.stat().st_mode & 0o077


class TestAssertion:
    """A client that signs instead of showing a secret (RFC 7523)."""

    key = OKPKey.generate_key("Ed25519", {"kid": "k1"})
    public = {"keys": [key.as_dict(private=False)]}

    def made(self, **changed):
        now = int(time.time())
        claims = {"iss": "c", "sub": "c", "aud": AUDIENCE, "exp": now + 60, "jti": "one", **changed}
        return jwt.encode(
            {"alg": "Ed25519", "kid": "k1"}, {k: v for k, v in claims.items() if v is not None}, self.key, algorithms=["Ed25519"]
        )

    def test_is_good_once_made(self):
        jti, ends = tokens.asserted(self.made(), "c", self.public, {AUDIENCE})
        assert jti == "one" and ends > time.time()

    @pytest.mark.parametrize(
        "changed",
        [{"iss": "d"}, {"sub": "d"}, {"aud": "x"}, {"exp": 1}, {"exp": None}, {"exp": int(time.time()) + 86400}, {"jti": None}, {"jti": ""},
         {"nbf": int(time.time()) + 3600}],
    )  # fmt: skip
    def test_is_refused_for_another_client_audience_or_time_or_without_an_id(self, changed):
        assert tokens.asserted(self.made(**changed), "c", self.public, {AUDIENCE}) is None

    def test_is_refused_when_another_key_signed_it(self):
        stranger = {"keys": [OKPKey.generate_key("Ed25519", {"kid": "k1"}).as_dict(private=False)]}
        assert tokens.asserted(self.made(), "c", stranger, {AUDIENCE}) is None


def test_a_secret_is_kept_as_a_salted_hash_and_matches_itself_alone():
    one = secret.make()
    stored = secret.hashed(one)
    assert one not in stored and stored != secret.hashed(one)
    assert secret.matches(one, stored)
    assert not secret.matches(one + "x", stored) and not secret.matches("", stored)
    assert not secret.matches(one, "scrypt$broken") and not secret.matches(one, "")
