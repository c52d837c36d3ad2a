"""Tokens: for this service, for a short time, by our own key; anything else is none."""

import base64
import json
import time

import pytest
from joserfc import jwt
from joserfc.jwk import KeySet, OctKey, OKPKey

from hub.settings import Settings
from sharing import keys, secret, tokens
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
    own = keys.token_keys(settings).keys[-1]
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


def test_keys_are_rotated_with_an_overlap_of_one(service, settings):
    before = service.give("c", "d", 1, None)
    keys.rotate_token_key(settings)
    service.reload()
    after = service.give("c", "d", 1, None)
    assert service.caller(before) is not None and service.caller(after) is not None
    assert [k["kid"][:6] for k in service.jwks()["keys"]] == ["000001", "000002"]
    keys.rotate_token_key(settings)
    service.reload()
    assert service.caller(before) is None and service.caller(after) is not None


def test_the_published_keys_hold_nothing_private_and_verify_a_token(service):
    assert all("d" not in key and key["kty"] == "OKP" for key in service.jwks()["keys"])
    public = KeySet.import_key_set(service.jwks())
    assert jwt.decode(service.give("c", "d", 1, None), public, algorithms=["Ed25519"]).claims["sub"] == "c"


def test_private_keys_are_closed_to_others(service, settings):
    (path,) = (settings.secrets_dir / "token_keys").glob("*.key")
    assert path.stat().st_mode & 0o077 == 0


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
