"""Clients: added, rotated and revoked on the command line; what is revoked is refused at once."""

import base64
import json
import time
from datetime import date
from pathlib import Path

import pytest
import sqlalchemy as sa
from joserfc import jwt
from joserfc.jwk import OKPKey
from typer.testing import CliRunner

from hub import settings as hub_settings
from hub.errors import ConfigError
from pipeline.cli.main import app
from sharing import policy as policies
from tests.sharing.conftest import AUDIENCE, Asker
from tests.sharing.test_answers import WATCH, a_person
from warehouse import clients

pytestmark = pytest.mark.slow
FORM = {"grant_type": "client_credentials"}


@pytest.fixture
def hub(pool, monkeypatch):
    """The command line over the same pool."""
    for name, value in (("HUB_HOME", pool.settings.home), ("HUB_DATABASE_URL", pool.settings.database_url.get_secret_value())):
        monkeypatch.setenv(name, str(value))
    hub_settings.get_settings.cache_clear()
    yield lambda *arguments: CliRunner().invoke(app, list(arguments))
    hub_settings.get_settings.cache_clear()


def added(hub, pool, client_id, *options):
    told = json.loads(hub("client", "add", client_id, "--department", "civil_affairs", "--json", *options).stdout)
    return Asker(pool.http, client_id, told["client_secret"])


def test_a_client_is_added_and_its_secret_is_kept_as_a_hash_alone(hub, pool):
    asker = added(hub, pool, "desk-one")
    (row,) = pool.rows("SELECT hash FROM share.client_secret WHERE client_id = 'desk-one'")
    assert row.hash.startswith("scrypt$") and asker.secret not in row.hash
    assert asker.renew().person(a_person(pool).id, WATCH, "insured").status_code == 200
    shown = hub("client", "list").stdout
    assert "desk-one" in shown and asker.secret not in shown and row.hash not in shown


@pytest.mark.parametrize(
    "arguments",
    [("Desk", "--department", "civil_affairs"), ("desk-two", "--department", "police"), ("desk-two", "--department", "civil_affairs", "--purpose", "student_aid")],
)  # fmt: skip
def test_a_client_of_a_department_or_purpose_that_is_not_there_is_refused(hub, arguments):
    assert isinstance(hub("client", "add", *arguments).exception, ConfigError)


def test_a_revoked_client_is_refused_at_once_with_a_token_that_has_not_run_out(hub, pool):
    asker, row = added(hub, pool, "desk-revoked").renew(), a_person(pool)
    assert asker.person(row.id, WATCH, "person.name").status_code == 200
    assert hub("client", "revoke", "desk-revoked").exit_code == 0
    before = pool.entries()
    for answer in (asker.person(row.id, WATCH, "person.name"), asker.person(row.id, "student_aid", "person.name")):
        assert (answer.status_code, answer.json()["code"]) == (401, "client-revoked")
        assert row.name[0] not in answer.text
    assert pool.entries() == before
    refused = pool.http.post("/oauth2/token", data=FORM, auth=("desk-revoked", asker.secret))
    assert (refused.status_code, refused.json()) == (401, {"error": "invalid_client"})


def test_a_client_revoked_while_others_wait_with_it_takes_nobody_along(hub, pool):
    """Entries of many requests are one transaction; the one that is refused leaves it, the others stay."""
    import concurrent.futures

    good, bad, row = added(hub, pool, "desk-good").renew(), added(hub, pool, "desk-bad").renew(), a_person(pool)
    with pool.engine.begin() as connection:
        clients.revoke(connection, "desk-bad")
    with concurrent.futures.ThreadPoolExecutor(12) as threads:
        asked = [threads.submit(who.person, row.id, WATCH, "insured") for who in (good, bad) * 12]
    assert [a.result().status_code for a in asked] == [200, 401] * 12


def test_rotation_keeps_the_former_secret_for_a_while_or_ends_it_and_its_tokens_at_once(hub, pool):
    asker = added(hub, pool, "desk-rotated").renew()
    fresh = json.loads(hub("client", "rotate", "desk-rotated", "--json").stdout)["client_secret"]
    for known in (asker.secret, fresh):
        assert pool.http.post("/oauth2/token", data=FORM, auth=("desk-rotated", known)).status_code == 200
    newest = json.loads(hub("client", "rotate", "desk-rotated", "--keep-hours", "0", "--json").stdout)["client_secret"]
    for former in (asker.secret, fresh):
        assert pool.http.post("/oauth2/token", data=FORM, auth=("desk-rotated", former)).status_code == 401
    assert asker.person(a_person(pool).id, WATCH, "insured").json()["code"] == "client-revoked"
    assert Asker(pool.http, "desk-rotated", newest).renew().person(a_person(pool).id, WATCH, "insured").status_code == 200


def test_a_client_bound_to_a_purpose_gets_no_other_and_a_token_may_ask_for_less(hub, pool):
    asker = added(hub, pool, "desk-bound", "--purpose", WATCH)
    row = a_person(pool)
    asker.renew()
    assert asker.person(row.id, WATCH, "insured").status_code == 200
    assert asker.person(row.id, "low_income_review", "insured", consent="SQ-1").json()["code"] == "purpose-not-granted"
    auth = (asker.client_id, asker.secret)
    assert pool.http.post("/oauth2/token", data={**FORM, "scope": "low_income_review"}, auth=auth).json() == {"error": "invalid_scope"}
    whole = added(hub, pool, "desk-whole")
    narrow = pool.http.post("/oauth2/token", data={**FORM, "scope": WATCH}, auth=(whole.client_id, whole.secret)).json()
    assert narrow["scope"] == WATCH
    whole.token = narrow["access_token"]
    assert whole.person(row.id, "low_income_review", "insured", consent="SQ-1").json()["code"] == "purpose-not-granted"


@pytest.mark.parametrize(
    ("data", "auth", "status", "error"),
    [
        ({}, None, 400, "invalid_request"),
        ({"grant_type": "password"}, ("a", "b"), 400, "unsupported_grant_type"),
        (FORM, None, 400, "invalid_request"),
        (FORM, ("nobody-here", "guess"), 401, "invalid_client"),
        (FORM, ("civil-desk", "guess"), 401, "invalid_client"),
        ({**FORM, "client_id": "civil-desk", "client_secret": "x", "client_assertion": "y"}, None, 400, "invalid_request"),
        ({**FORM, "client_id": "civil-desk", "client_assertion": "y"}, None, 400, "invalid_request"),
    ],
)  # fmt: skip
def test_no_token_without_proof(pool, civil, data, auth, status, error):
    answer = pool.http.post("/oauth2/token", data=data, **({"auth": auth} if auth else {}))
    assert (answer.status_code, answer.json()) == (status, {"error": error})
    assert answer.headers["cache-control"] == "no-store"


def test_guessing_secrets_is_slowed_down_whoever_is_guessed_at(pool):
    answers = [pool.http.post("/oauth2/token", data=FORM, auth=("guessed-at", f"guess {n}")) for n in range(22)]
    assert answers[0].status_code == 401 and answers[-1].status_code == 429
    assert int(answers[-1].headers["retry-after"]) >= 1


def test_a_client_that_signs_needs_no_secret_and_its_assertion_is_good_once(hub, pool, tmp_path):
    key = OKPKey.generate_key("Ed25519", {"kid": "k1"})
    (tmp_path / "public.json").write_text(json.dumps({"keys": [key.as_dict(private=False)]}), encoding="utf-8")
    (tmp_path / "private.json").write_text(json.dumps({"keys": [key.as_dict(private=True)]}), encoding="utf-8")
    assert isinstance(
        hub("client", "add", "desk-signs", "--department", "civil_affairs", "--keys", str(tmp_path / "private.json")).exception, ConfigError
    )
    assert hub("client", "add", "desk-signs", "--department", "civil_affairs", "--keys", str(tmp_path / "public.json")).exit_code == 0
    now = int(time.time())
    claims = {"iss": "desk-signs", "sub": "desk-signs", "aud": f"{AUDIENCE}/oauth2/token", "exp": now + 60, "jti": "only-once"}
    form = {
        **FORM, "client_id": "desk-signs", "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
        "client_assertion": jwt.encode({"alg": "Ed25519", "kid": "k1"}, claims, key, algorithms=["Ed25519"]),
    }  # fmt: skip
    assert pool.http.post("/oauth2/token", data=form).status_code == 200
    assert pool.http.post("/oauth2/token", data=form).status_code == 401, "replayed"


@pytest.mark.parametrize("header", ["", "Bearer", "Bearer x", "Basic x", "Bearer a.b.c", "bearer ", "Bearer " + "a" * 9000])
def test_a_request_without_a_token_is_refused_and_says_how_to_get_one(pool, header):
    answer = pool.http.get(
        f"/v1/persons/{a_person(pool).id}", params={"purpose": WATCH, "attributes": "person.name"}, headers={"Authorization": header}
    )
    assert (answer.status_code, answer.json()["code"]) == (401, "client-unauthorised")
    assert answer.headers["www-authenticate"].startswith("Bearer")


def test_a_request_too_many_is_told_when_to_come_back(pool, hub):
    asker = added(hub, pool, "desk-busy").renew()
    pool.http.app.state.service.requests.take("desk-busy", 10_000_000)
    answer = asker.get("/v1/catalogue")
    assert (answer.status_code, answer.json()["code"]) == (429, "too-many-requests") and int(answer.headers["retry-after"]) >= 1


def test_a_new_token_key_is_taken_up_by_services_that_run_and_tokens_given_before_still_count(hub, pool):
    asker, service = added(hub, pool, "desk-before").renew(), pool.http.app.state.service
    published = lambda: {k["kid"] for k in pool.http.get("/.well-known/jwks.json").json()["keys"]}  # noqa: E731
    before = published()
    made = json.loads(hub("key", "rotate", "tokens", "--json").stdout)
    service.tokens.reload()  # two seconds later it does so by itself
    assert published() == before | {made["key_id"]} and asker.get("/v1/catalogue").status_code == 200
    listed = {k["key_id"]: k["state"] for k in json.loads(hub("key", "list", "--json").stdout) if k["use"] == "tokens"}
    assert listed[made["key_id"]] == "next" and list(listed.values()).count("signs") == 1
    shown = hub("key", "list").stdout
    secrets = [
        w for p in (pool.settings.secrets_dir / "token_keys").iterdir() for w in p.read_text(encoding="ascii").split() if len(w) == 64
    ]
    assert made["key_id"] in shown and len(secrets) >= 2 and not any(s in shown for s in secrets)
    assert hub("key", "rotate", "heads").exit_code != 0, "the key of tree heads is kept for good"


def test_no_secret_and_no_key_is_in_the_pool_or_in_what_is_published(pool, hub):
    asker = added(hub, pool, "desk-hidden").renew()
    with pool.engine.connect() as connection:
        text = str(connection.execute(sa.text("SELECT * FROM share.client LEFT JOIN share.client_secret USING (client_id)")).all())
    pool.http.get("/.well-known/jwks.json")
    private = [
        w for p in pool.settings.secrets_dir.rglob("*") if p.is_file() for w in p.read_text(encoding="ascii").split() if len(w) >= 24
    ]
    assert len(private) >= 4, "keys of tokens, of messages, of tree heads, of pseudonyms"
    published = pool.http.get("/.well-known/jwks.json").text + pool.http.get("/openapi.json").text + pool.http.get("/v1/log/key").text
    for hidden in (asker.secret, asker.token, *private):
        assert hidden not in text and hidden not in published and base64.b64encode(hidden.encode()).decode() not in published


def test_the_command_line_explains_applies_reports_and_verifies(hub, pool, civil, tmp_path):
    row = a_person(pool)
    civil.person(row.id, WATCH, "insured")
    told = hub("policy", "explain", "civil_affairs", WATCH, "person.name", "person.sex", "--area", "421022100", "--born", "2000-01-01")
    assert "masked" in told.stdout and "refused by default" in told.stdout
    assert (
        "not among those"
        in hub("policy", "explain", "civil_affairs", WATCH, "person.name", "--area", "110101", "--born", "2000-01-01").stdout
    )
    assert "held already" in hub("policy", "apply").stdout
    assert "civil_affairs" in hub("policy", "show").stdout and hub("policy", "check").exit_code == 0
    assert hub("audit", "checkpoint", "--out", str(tmp_path / "head")).exit_code == 0
    assert "intact" in hub("audit", "verify", "--head", str(tmp_path / "head")).stdout
    (tmp_path / "other").write_text((tmp_path / "head").read_text(encoding="utf-8").replace("signed-at 2", "signed-at 1"), encoding="utf-8")
    changed = hub("audit", "verify", "--head", str(tmp_path / "other"))
    assert changed.exit_code == 1 and "not signed" in changed.stdout
    report = json.loads(hub("audit", "report", "--department", "civil_affairs", "--since", "2026-01-01", "--json").stdout)
    assert any(r["purpose"] == WATCH and r["decision"] == "told" for r in report)
    assert json.loads(hub("audit", "report", "--until", "2020-01-01", "--json").stdout) == []
    looked = hub("audit", "person", row.id).stdout
    assert "县民政局" in looked and row.name not in looked
    assert hub("audit", "key").stdout.strip() == pool.http.get("/v1/log/key").text.strip()
    assert "desk" in hub("client", "list").stdout


def test_in_a_sandbox_there_is_a_client_to_try_each_grant_with(hub, pool):
    policy = policies.in_force(date(2026, 3, 5))
    assert hub("client", "sandbox").exit_code == 0
    again = json.loads(hub("client", "sandbox", "--json").stdout)
    file = Path(again["file"])
    made = json.loads(file.read_text(encoding="utf-8"))
    assert len(made) == len(policy.grants) and file.stat().st_mode & 0o077 == 0
    for name, of in made.items():
        asker = Asker(pool.http, name, of["client_secret"]).renew()
        (own,) = asker.get("/v1/catalogue").json()["purposes"]
        assert own["purpose"] == of["purpose"]
        if own["emergency"]:
            assert asker.post("/v1/emergencies", purpose=of["purpose"], operator="王工", reason="to try what it is like").status_code == 201
        elif "consent" in own["rows"]:
            given = {"reference": "SQ-1", "resident_id": of["resident_id"], "valid_to": "2099-12-31"}
            assert asker.post("/v1/consents", purpose=of["purpose"], **given).status_code == 201
        asked = (
            {"attributes": [own["attributes"][0]["attribute"]]} if own["attributes"] else {"questions": [own["questions"][0]["question"]]}
        )
        consent = {"consent": "SQ-1"} if own["consent"] == "required" else {}
        told = asker.post("/v1/persons/lookup", purpose=of["purpose"], resident_id=of["resident_id"], **asked, **consent)
        assert told.status_code == 200 and told.json()["person_id"] == of["person_id"], f"{name} is told of somebody"
    pool.run("DELETE FROM share.emergency")
    pool.run("DELETE FROM share.consent")
