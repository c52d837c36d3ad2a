"""Every setting of the hub in one place, with its meaning."""

import json
import os
import secrets
from collections.abc import Callable
from datetime import date
from enum import StrEnum
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, model_validator
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from hub.errors import ConfigError

CHECKOUT = Path(__file__).resolve().parent.parent


COUNTY_FILE = "sandbox/county.json"
# What makes a simulated county the one it is: fixed when it is first settled.
_COUNTY = ("sandbox_persons", "sandbox_seed", "sandbox_noise", "sandbox_epoch")


class _CountySource(PydanticBaseSettingsSource):
    """Size, seed, noise and first day of a county that was settled in the home folder."""

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        """Not asked: all fields come at once."""
        return None, field_name, False

    def __call__(self) -> dict[str, Any]:
        return settled_county(Path(self.current_state.get("home") or Settings.model_fields["home"].default))


def settled_county(home: Path) -> dict[str, Any]:
    """What the county of a home folder was settled with; empty before that.

    Raises:
        ConfigError: the file is damaged.
    """
    path = home / COUNTY_FILE
    try:
        found = json.loads(path.read_text(encoding="ascii"))
        return {name: found[name] for name in _COUNTY}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, KeyError, TypeError):
        raise ConfigError(
            "this file is damaged", where=str(path), next_step="delete it, and give the county's size again by HUB_SANDBOX_PERSONS"
        ) from None


class Settings(BaseSettings):
    """Settings of one hub, each read from the environment variable ``HUB_`` + its name in capitals.

    A simulated county's size, seed, noise and first day are those it was settled with, once it was: see :meth:`settle`.
    """

    model_config = SettingsConfigDict(env_prefix="HUB_", extra="ignore", frozen=True)

    home: Path = Field(CHECKOUT / ".hub", description="Folder of all state: databases, landing, secrets, logs.")
    database_url: SecretStr | None = Field(
        None, description="SQLAlchemy URL of the warehouse; empty starts the embedded PostgreSQL under the home folder."
    )
    database_port: int | None = Field(None, ge=1, le=65535, description="Port of the embedded PostgreSQL; empty = a free one.")
    landing_url: str | None = Field(None, description="fsspec URL of the landing store; empty = `landing/` in the home folder.")
    landing_key: SecretStr | None = Field(
        None, description="Key of the landing store, 256 bits, 64 hex digits; empty = one made once and kept in `secrets/`."
    )
    backup_key: SecretStr | None = Field(
        None,
        description="Key that seals backups, 256 bits, 64 hex digits; empty = one made once and kept in `secrets/`: keep a copy apart.",
    )
    crypto_suite: Literal["international", "sm"] = Field(
        "international",
        description="Algorithms: AES-256-GCM, SHA-256 and Ed25519, or SM4-GCM, SM3 and SM2 (GB/T 32907, 32905, 32918), for landing, backups and the log of disclosures; a log keeps the suite it began with.",
    )
    pool_id: str = Field("sandbox-county", min_length=1, description="Name of the pool; salts the ids of persons and households.")
    business_clock: Literal["sandbox", "wall"] = Field(
        "sandbox", description="Where tonight's business date comes from: the simulated county's calendar, or the wall clock."
    )
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field("WARNING", description="Least severe log event shown.")
    review_second_share: float = Field(
        0.1, ge=0, le=1, description="Share of pairs of records on which two reviewers must agree before a judgement is in force."
    )
    value_viewers: str = Field("", description="Who may be shown persons' values by `--values`: names, separated by commas.")
    confirm_share: float = Field(
        0.05,
        ge=0,
        le=1,
        description="Share of a source's records from which on withdrawing a delivery must be confirmed with the code of a dry run.",
    )
    parse_memory_mib: int | None = Field(
        None,
        ge=16,
        description="Memory a parse may take, in MiB; unset: what the machine has, with a process of its own where that is short.",
    )
    sandbox_persons: int = Field(20_000, ge=100, le=20_000_000, description="Persons in the simulated county.")
    sandbox_seed: int = Field(20260301, ge=0, description="Seed of the simulated county.")
    sandbox_noise: Literal["none", "low", "standard", "heavy"] = Field(
        "standard", description="How badly the simulated agencies see the county."
    )
    sandbox_epoch: date = Field(date(2026, 3, 1), description="Business date of the county's first night.")
    airflow_port: int | None = Field(None, ge=1, le=65535, description="Port of the Airflow page; empty = a free one.")
    working_days_file: Path | None = Field(
        None, description="CSV `date,kind` (workday or holiday) of days that the calendar package does not know yet; wins over it."
    )
    ticket_due_days: int = Field(
        10, ge=1, le=250, description="Working days an agency has to answer a ticket of quarantined rows; the project's assumption."
    )
    dispute_due_days: int = Field(
        10,
        ge=1,
        le=250,
        description="Working days an agency has to answer a disputed value; a dated local rule, here the project's assumption.",
    )
    ticket_escalation_days: int = Field(
        15, ge=1, le=250, description="Working days after which the night escalates a ticket that is not closed; the project's assumption."
    )
    ticket_escalation_owner: str = Field(
        "县政务数据共享主管部门",
        min_length=1,
        max_length=100,
        description="Who is asked, beside the agency, of a ticket that is escalated.",
    )
    sharing_port: int | None = Field(None, ge=1, le=65535, description="Port of the sharing service; empty = a free one.")
    sharing_url: str | None = Field(
        None, description="Address by which departments reach the sharing service, the audience of its tokens; empty = its local address."
    )
    sharing_tls_certificate: Path | None = Field(
        None, description="PEM certificate of the sharing service, with its chain; empty = plain HTTP, behind a proxy that ends TLS."
    )
    sharing_tls_key: Path | None = Field(None, description="PEM private key of that certificate.")
    sharing_tls_client_authorities: Path | None = Field(
        None, description="PEM certificates of those who issue clients' certificates; with it clients can be bound to theirs."
    )
    sharing_requests_a_minute: int = Field(600, ge=1, description="Requests a client may make in a minute, in each process of the service.")
    sharing_misses_an_hour: int = Field(
        100, ge=1, description="Look-ups of a client that may find nobody in an hour, in each process; then its look-ups pause."
    )

    sharing_job_megabytes: int = Field(256, ge=1, le=4096, description="MiB the input of one comparison handed in as a job may have.")
    sharing_job_kept_hours: int = Field(
        72,
        ge=1,
        le=8760,
        description="Hours a comparison that was handed in as a job is kept: from its end, or, while its input is awaited, from its beginning.",
    )
    emergency_review_days: int = Field(
        3, ge=0, le=60, description="Days after its end within which an emergency is to be reviewed; later, its department opens no other."
    )
    sharing_loopback_receivers: bool = Field(
        False, description="Let notices be sent to this machine itself, without encryption: for a sandbox alone."
    )
    sharing_receivers: str = Field(
        "",
        pattern=r"^[a-z0-9. :-]*$",
        description="Hosts notices and DCI answers may be sent to, with spaces between: `desk.example`, or `.gov.example` for all below it; empty = any that is not refused for where it leads.",
    )
    dci_id: str = Field(
        "assistance-hub", pattern=r"^[A-Za-z0-9._:/-]{1,99}$", description="The hub's own sender_id and receiver_id in the DCI interface."
    )
    dci_is_lenient: bool = Field(
        False, description="Take DCI messages without a signature from senders registered with --unsigned: for conformance tests alone."
    )

    @classmethod
    def settings_customise_sources(
        cls, settings_cls: type[BaseSettings], init_settings: PydanticBaseSettingsSource, env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource, file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:  # fmt: skip
        """Arguments, then environment, then the settled county."""
        return init_settings, env_settings, _CountySource(settings_cls)

    @model_validator(mode="after")
    def _is_the_settled_county(self) -> Self:
        """Refuse another county in the place of the one that is there."""
        for name, settled in settled_county(self.home).items():
            asked = getattr(self, name)
            if str(asked) != str(settled):
                raise ConfigError(
                    f"the county under {self.home} was settled with {settled}, not {asked}", where=f"HUB_{name.upper()}",
                    next_step="leave the variable out to go on with it; for another county set HUB_HOME to a new folder,"
                    " or remove this one with its data by `make clean`",
                )  # fmt: skip
        return self

    def settle(self) -> None:
        """Fix the simulated county's size, seed, noise and first day in the home folder; does nothing when they are."""
        path = self.home / COUNTY_FILE
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            draft = path.with_name(f".county.{secrets.token_hex(4)}")
            draft.write_text(json.dumps({name: getattr(self, name) for name in _COUNTY}, default=str), encoding="ascii")
            draft.replace(path)

    @property
    def secrets_dir(self) -> Path:
        """Folder of generated secrets, readable by the owner alone."""
        return self.home / "secrets"

    def secret(self, name: str, n_bytes: int = 32) -> str:
        """A secret that is made at its first use and kept: hex digits, 2 × ``n_bytes`` of them.

        Args:
            name: file name under `secrets/`.
            n_bytes: entropy in bytes.
        """
        return self.kept_secret(name, lambda: secrets.token_hex(n_bytes))

    def kept_secret(self, name: str, make: Callable[[], str]) -> str:
        """A secret that is made in a way of its own at its first use, and kept.

        Args:
            name: file name under `secrets/`.
            make: makes it, as ASCII.
        """
        path = self.secrets_dir / name
        if not path.exists():
            self.secrets_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
            draft = path.with_name(f".{name}.{secrets.token_hex(4)}")
            draft.touch(mode=0o600)
            draft.write_text(make(), encoding="ascii")
            try:
                path.hardlink_to(draft)  # fails if another process was first: its secret counts
            except FileExistsError:
                pass
            draft.unlink()
        return path.read_text(encoding="ascii").strip()

    def landing_key_bytes(self) -> bytes:
        """The 32-byte key of the landing store.

        Raises:
            ConfigError: the configured key is not 64 hex digits.
        """
        return self._key("landing")

    def backup_key_bytes(self) -> bytes:
        """The 32-byte key that seals backups. Keep it apart from them.

        Raises:
            ConfigError: the configured key is not 64 hex digits.
        """
        return self._key("backup")

    def _key(self, use: str) -> bytes:
        configured: SecretStr | None = getattr(self, f"{use}_key")
        text = configured.get_secret_value() if configured else self.secret(f"{use}.key")
        try:
            key = bytes.fromhex(text)
        except ValueError:
            key = b""
        if len(key) != 32:
            raise ConfigError(f"the {use} key is not 64 hex digits", where=f"HUB_{use.upper()}_KEY")
        return key


class Endpoint(BaseModel):
    """Where and as whom one agency is reached.

    Attributes:
        url: address of the interface.
        username: client id or account; None when the protocol has none.
        secret: client secret or password; None when the protocol has none.
        extra: what else the protocol asks for (second secret, path, service id).
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    url: str
    username: str | None = None
    secret: SecretStr | None = None
    extra: dict[str, Any] = Field(default_factory=dict, repr=False)


class Origin(StrEnum):
    """Where the value of a setting comes from."""

    ENVIRONMENT = "environment"
    COUNTY = COUNTY_FILE
    DEFAULT = "default"


def origin(settings: Settings, name: str) -> Origin:
    """Where a setting's value comes from."""
    if any(variable.upper() == f"HUB_{name.upper()}" for variable in os.environ):
        return Origin.ENVIRONMENT
    return Origin.COUNTY if name in settled_county(settings.home) else Origin.DEFAULT


@lru_cache(maxsize=1)
def get_settings() -> Settings:
    """The settings of this process.

    Raises:
        ConfigError: a variable has a value that is not allowed.
    """
    try:
        return Settings()  # type: ignore[call-arg]
    except ValidationError as error:
        first = error.errors(include_input=False)[0]
        name = "HUB_" + str(first["loc"][0]).upper()
        raise ConfigError(first["msg"], where=name, next_step="see `hub config` for what each setting means") from None


def load_endpoint(stem: str, settings: Settings | None = None) -> Endpoint:
    """The endpoint of an agency, from ``sources/STEM.json`` in the home folder.

    Raises:
        ConfigError: the file is missing or not as :class:`Endpoint` says.
    """
    path = (settings or get_settings()).home / "sources" / f"{stem}.json"
    try:
        return Endpoint.model_validate(json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        raise ConfigError(
            "no endpoint is configured for this source", where=f"sources/{stem}.json", next_step="run `hub up`, or write the file"
        ) from None
    except (ValidationError, ValueError) as error:
        kind = "not JSON" if not isinstance(error, ValidationError) else "not an endpoint: url, username, secret, extra"
        raise ConfigError(f"the endpoint file is {kind}", where=f"sources/{stem}.json") from None
