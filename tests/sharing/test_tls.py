"""A client that is bound to its certificate is nobody without it: neither with its secret nor with its token."""

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import pytest
import requests
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from hub.errors import ConfigError
from hub.postgres import free_port
from hub.settings import CHECKOUT
from sharing import secret, tls
from sharing.client import Hub, HubProblem
from tests.sharing.conftest import Pool
from tests.sharing.test_answers import WATCH
from warehouse import clients

pytestmark = pytest.mark.slow
Pair = tuple[str, str]


@dataclass
class Authority:
    """Who issues certificates."""

    folder: Path
    key: ec.EllipticCurvePrivateKey
    certificate: x509.Certificate

    @property
    def file(self) -> Path:
        return self.folder / "authority.pem"

    def issue(self, name: str) -> Pair:
        """Files of a new certificate and its key."""
        key = ec.generate_private_key(ec.SECP256R1())
        made = built(name, key, self.certificate.subject, self.key, is_authority=False)
        return written(self.folder, name, made, key)


def built(name: str, key: ec.EllipticCurvePrivateKey, issuer: x509.Name | None, by: ec.EllipticCurvePrivateKey, *, is_authority: bool) -> x509.Certificate:  # fmt: skip
    subject, now = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]), datetime.now(UTC)
    return (
        x509.CertificateBuilder().subject_name(subject).issuer_name(issuer or subject).public_key(key.public_key()).serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1)).not_valid_after(now + timedelta(days=30))
        .add_extension(x509.BasicConstraints(ca=is_authority, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .sign(by, hashes.SHA256())
    )  # fmt: skip


def written(folder: Path, name: str, certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> Pair:
    paths = folder / f"{name}.pem", folder / f"{name}.key"
    paths[0].write_bytes(certificate.public_bytes(Encoding.PEM))
    paths[1].write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return str(paths[0]), str(paths[1])


def authority(folder: Path) -> Authority:
    folder.mkdir()
    key = ec.generate_private_key(ec.SECP256R1())
    made = built("authority", key, None, key, is_authority=True)
    written(folder, "authority", made, key)
    return Authority(folder, key, made)


@pytest.fixture(scope="module")
def ours(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return authority(tmp_path_factory.mktemp("tls") / "ours")


@pytest.fixture(scope="module")
def url(pool: Pool, ours: Authority) -> Iterator[str]:
    """The service with TLS of its own, in a process of its own."""
    port, (certificate, key) = free_port(), ours.issue("hub")
    environment = {
        **os.environ, "HUB_HOME": str(pool.settings.home), "HUB_DATABASE_URL": pool.settings.database_url.get_secret_value(),  # type: ignore[union-attr]
        "HUB_SHARING_PORT": str(port), "HUB_SHARING_TLS_CERTIFICATE": certificate, "HUB_SHARING_TLS_KEY": key,
        "HUB_SHARING_TLS_CLIENT_AUTHORITIES": str(ours.file),
    }  # fmt: skip
    child = subprocess.Popen([sys.executable, "-m", "sharing"], cwd=CHECKOUT, env=environment, stderr=subprocess.PIPE, text=True)
    try:
        where = f"https://127.0.0.1:{port}"
        wait = ["curl", "-s", "--retry", "60", "--retry-delay", "1", "--retry-connrefused", "--cacert", str(ours.file), f"{where}/healthz"]
        subprocess.run(wait, check=True, capture_output=True)
        yield where
    finally:
        child.terminate()
        child.wait(20)


def bound(pool: Pool, name: str, pair: Pair | None) -> str:
    """A new client, bound to a certificate or to none; its secret."""
    made = secret.make()
    with pool.engine.begin() as connection:
        clients.add(connection, name, department="civil_affairs", title="test", purposes=None)
        clients.add_secret(connection, name, secret.hashed(made), keep_former_s=0)
        clients.bind(connection, name, None if pair is None else tls.read(Path(pair[0])))
    return made


def test_it_asks_with_its_certificate_and_its_secret_or_token_are_nothing_without(pool: Pool, url: str, ours: Authority) -> None:
    own, others = ours.issue("desk"), ours.issue("thief")
    made = bound(pool, "bound-desk", own)
    person = str(pool.rows("SELECT person_id FROM core.person WHERE area_code LIKE '421022%' AND birth_date < '1980-01-01' LIMIT 1")[0][0])
    desk = Hub(url, "bound-desk", made, certificate=own, authorities=str(ours.file))
    assert desk.person(WATCH, person, questions=["insured"])["person_id"] == person
    for thief in (others, None):
        stolen = Hub(url, "bound-desk", made, certificate=thief, authorities=str(ours.file))
        with pytest.raises(HubProblem, match="invalid_client"):
            stolen.person(WATCH, person, questions=["insured"])

    form = {"grant_type": "client_credentials", "client_id": "bound-desk", "client_secret": made}
    token = requests.post(f"{url}/oauth2/token", data=form, cert=own, verify=str(ours.file), timeout=20).json()["access_token"]
    asked = {"url": f"{url}/v1/catalogue", "headers": {"Authorization": f"Bearer {token}"}, "verify": str(ours.file), "timeout": 20}
    assert requests.get(**asked, cert=own).status_code == 200  # type: ignore[arg-type]
    assert [requests.get(**asked, cert=c).status_code for c in (others, None)] == [401, 401]  # type: ignore[arg-type]

    with pool.engine.begin() as connection:
        clients.bind(connection, "bound-desk", tls.read(Path(others[0])))
    assert requests.get(f"{url}/v1/persons/{person}", {"purpose": WATCH, "questions": "insured"}, headers=asked["headers"], cert=own, verify=str(ours.file), timeout=20).status_code == 401  # type: ignore[arg-type]  # fmt: skip


def test_a_certificate_nobody_trusts_does_not_get_through_tls_and_a_client_bound_to_none_needs_none(
    pool: Pool, url: str, ours: Authority, tmp_path: Path
) -> None:
    strange = authority(tmp_path / "theirs").issue("desk")
    made = bound(pool, "free-desk", None)
    with pytest.raises(requests.exceptions.ConnectionError):
        Hub(url, "free-desk", made, certificate=strange, authorities=str(ours.file)).catalogue()
    assert Hub(url, "free-desk", made, authorities=str(ours.file)).catalogue()["purposes"]
    told = requests.get(f"{url}/.well-known/oauth-authorization-server", verify=str(ours.file), timeout=20).json()
    assert told["tls_client_certificate_bound_access_tokens"] is True


def test_files_that_are_no_certificates_are_named(pool: Pool, tmp_path: Path, ours: Authority) -> None:
    wrong = tmp_path / "wrong.pem"
    wrong.write_text("x", encoding="ascii")
    with pytest.raises(ConfigError, match="not a certificate"):
        tls.read(wrong)
    for values, told in (
        ({"sharing_tls_certificate": wrong}, "needed together"),
        ({"sharing_tls_certificate": wrong, "sharing_tls_key": wrong}, "cannot be used"),
        ({"sharing_tls_client_authorities": ours.file}, "needed together"),
    ):
        with pytest.raises(ConfigError, match=told):
            tls.options(pool.settings.model_copy(update=values))
    assert tls.options(pool.settings) == {}
