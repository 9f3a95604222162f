"""Settings: read from the environment or a `.env` file, checked once at the start.

Owns which settings exist and which are unsafe in production; every refusal names the setting to change.
"""

from __future__ import annotations

import getpass
import hashlib
import ipaddress
import json
import logging
import os
import re
import sys
from enum import StrEnum
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Final, Literal
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError

from identity_service.errors import Misconfigured
from sms.numbers import NumberKind, NumberPolicy
from sms.providers.signed_webhook import SignedWebhookProvider
from sms.route import Routes, parse_route, parse_routes
from sms.texts import check_parts

VAR: Final = Path("var")
DEV_JSON: Final = VAR / "dev.json"
"""What the development server says of itself while it runs."""
_PUBLIC_URL: Final = "http://127.0.0.1:8000"
MIN_TOKEN: Final = 32
"""Characters: what Twilio gives."""
MIN_SIGNATURE: Final = 16
"""Characters: below this a signature could be guessed."""
KNOWN_PROVIDERS: Final = frozenset({"inbox", "null", "twilio", "vonage", "webhook"})
_HOST: Final = re.compile(r"[A-Za-z0-9.-]+(:[0-9]{1,5})?|\[[0-9A-Fa-f:.]+\](:[0-9]{1,5})?", re.ASCII)
"""A host, and a port perhaps: it also stands in the page's Content-Security-Policy."""


class Environment(StrEnum):
    DEVELOPMENT = "development"
    PRODUCTION = "production"


def _served_at(known: dict[str, Any]) -> str:
    """Return the address of the development server that runs in this folder, else the usual one."""
    if known.get("env") is not Environment.DEVELOPMENT:
        return _PUBLIC_URL
    try:
        return str(json.loads(DEV_JSON.read_text())["url"])
    except (OSError, ValueError, KeyError, TypeError):  # none runs here, or it is just being written
        return _PUBLIC_URL


class Settings(BaseSettings):
    """Every setting of the service.  Field `x` is read from `IDENTITY_X`, or from its alias."""

    model_config = SettingsConfigDict(
        env_prefix="IDENTITY_", env_file=".env", extra="ignore", frozen=True, populate_by_name=True
    )

    env: Environment = Environment.DEVELOPMENT
    database_url: str = Field(
        default="", repr=False, description="SQLAlchemy URL; empty: SQLite under ./var/"
    )
    keyring: SecretStr = Field(
        default=SecretStr(""), description="The keyring's file, or the document itself"
    )
    public_url: str = Field(default_factory=_served_at, description="Where the outside reaches us")
    sms_route: str = Field(default="inbox", description="Providers in the order in which they are tried")
    sms_routes: str = Field(
        default="", description="Routes of countries and prefixes, e.g. RU=webhook,twilio; +4479=vonage"
    )
    phone_kinds: Annotated[tuple[NumberKind, ...], NoDecode] = (
        NumberKind.MOBILE,
        NumberKind.FIXED_OR_MOBILE,
    )
    join_url: str = Field(default="", description="Where /i/{code} leads; {code} is filled in")
    hosted_join: Literal["on", "off", "auto"] = Field(
        default="auto", description="Whether /i/{code} itself leads to a member"
    )
    joined_url: str = Field(default="", description="Where the hosted join page leads a new member")
    joined_handover: Literal["none", "post"] = Field(
        default="none", description="Whether that address is given the assertion"
    )
    brand: str = Field(default="Identity", description="The network's name in messages and pages")
    pow: Literal["off", "public"] = "off"
    operator: str = ""
    trusted_proxies: Annotated[tuple[str, ...], NoDecode] = ()
    policy_file: str = ""
    debug: bool = False
    log_level: str = "INFO"
    metrics_dir: str = Field(default="", description="Shared folder of metrics where several processes serve")
    columns_dir: str = Field(
        default="", description="Folder where reports keep what they have read; `off`: nowhere"
    )
    sqlite_synchronous: Literal["FULL", "NORMAL"] = "FULL"
    sms_app_hash: str = Field(default="", description="Android SMS Retriever hash for one-time codes")

    twilio_account_sid: str = Field(default="", validation_alias="TWILIO_ACCOUNT_SID")
    twilio_auth_token: SecretStr = Field(default=SecretStr(""), validation_alias="TWILIO_AUTH_TOKEN")
    twilio_messaging_service_sid: str = Field(default="", validation_alias="TWILIO_MESSAGING_SERVICE_SID")
    twilio_from: str = Field(default="", validation_alias="TWILIO_FROM")
    twilio_api_base_url: str = Field(default="", validation_alias="TWILIO_API_BASE_URL")

    twilio_feedback: bool = Field(default=False, validation_alias="TWILIO_FEEDBACK")

    vonage_api_key: str = Field(default="", validation_alias="VONAGE_API_KEY")
    vonage_api_secret: SecretStr = Field(default=SecretStr(""), validation_alias="VONAGE_API_SECRET")
    vonage_signature_secret: SecretStr = Field(
        default=SecretStr(""), validation_alias="VONAGE_SIGNATURE_SECRET"
    )
    vonage_from: str = Field(default="", validation_alias="VONAGE_FROM")
    vonage_api_base_url: str = Field(default="", validation_alias="VONAGE_API_BASE_URL")

    sms_webhook_url: str = Field(default="", description="The address of your own sender")
    sms_webhook_secrets: SecretStr = Field(
        default=SecretStr(""), description="whsec_ keys, joined by commas; the first signs"
    )

    @field_validator("trusted_proxies", "phone_kinds", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        return (
            tuple(part.strip() for part in value.split(",") if part.strip())
            if isinstance(value, str)
            else value
        )

    @property
    def production(self) -> bool:
        return self.env is Environment.PRODUCTION

    @cached_property
    def store_url(self) -> str:
        """The database's URL in the driver that we use: psycopg 3 for any spelling of PostgreSQL."""
        if not self.database_url:
            return f"sqlite:///{(VAR / 'identity.sqlite3').resolve()}"
        try:
            url = make_url(self.database_url)
        except ArgumentError:
            raise Misconfigured("IDENTITY_DATABASE_URL is not a database URL") from None
        match url.get_backend_name():
            case "sqlite":
                return url.render_as_string(hide_password=False)
            case "postgresql" | "postgres":
                return url.set(drivername="postgresql+psycopg").render_as_string(hide_password=False)
            case other:
                raise Misconfigured(
                    f"IDENTITY_DATABASE_URL: {other} is not supported; use sqlite or postgresql"
                )

    @property
    def is_sqlite(self) -> bool:
        return self.store_url.startswith("sqlite")

    @property
    def columns_path(self) -> Path | None:
        """Where reports keep what they read of this store: beside a SQLite database, else under ./var/."""
        if self.columns_dir == "off":
            return None
        url = make_url(self.store_url)
        in_file = self.is_sqlite and url.database not in (None, "", ":memory:")
        if self.is_sqlite and not in_file:
            return None
        folder = Path(str(url.database)).resolve().parent if in_file else VAR
        place = f"{url.host}:{url.port}/{url.database}"
        name = hashlib.sha256(place.encode()).hexdigest()[:12]
        return Path(self.columns_dir or folder) / f"columns-{name}"

    @property
    def keyring_source(self) -> str:
        return self.keyring.get_secret_value() or str(VAR / "keyring.json")

    @property
    def inbox_path(self) -> Path:
        return VAR / "inbox.sqlite3"

    @property
    def providers(self) -> tuple[str, ...]:
        """Every provider that some route names.  Raises: ValueError."""
        return self.routes.providers

    @property
    def routes(self) -> Routes:
        """Raises: ValueError."""
        return parse_routes(self.sms_routes, default=self.sms_route)

    @property
    def number_policy(self) -> NumberPolicy:
        """Raises: ValueError."""
        return NumberPolicy(kinds=frozenset(self.phone_kinds))

    @property
    def webhook_secrets(self) -> tuple[str, ...]:
        secrets = self.sms_webhook_secrets.get_secret_value().split(",")
        return tuple(secret.strip() for secret in secrets if secret.strip())

    @property
    def host(self) -> str:
        """The host name of the public URL, as WebOTP binds a code to it."""
        return urlsplit(self.public_url).hostname or "localhost"

    @property
    def dashboard_sign_in(self) -> str:
        """Where a sign-in link leads; its token follows behind `#`, which browsers keep to themselves."""
        return f"{self.public_url.rstrip('/')}/dashboard/sign-in"

    @property
    def otp_host(self) -> str | None:
        """The host to which WebOTP binds a code; browsers do so only for https."""
        return self.host if self.public_url.startswith("https://") else None

    @property
    def hosts_join(self) -> bool:
        """Whether the join page is ours: said so, or (in development) where there is no other."""
        if self.hosted_join == "auto":
            return not self.production and not self.join_url
        return self.hosted_join == "on"

    @property
    def join_host(self) -> str | None:
        """Where an invite by SMS sends its reader; nowhere, where the address is a developer's machine."""
        elsewhere = self.join_url and not self.hosts_join
        return urlsplit(self.join_url).hostname if elsewhere else self.otp_host

    @property
    def proxies(self) -> tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...]:
        return tuple(ipaddress.ip_network(part, strict=False) for part in self.trusted_proxies)

    @property
    def operator_name(self) -> str:
        """Who acts on the command line, where `--as` does not say it."""
        if self.operator:
            return self.operator
        try:
            return getpass.getuser()
        except (KeyError, OSError):  # a container's user id without a name
            return f"uid-{os.getuid()}"


def load_settings() -> Settings:
    """Read and check the settings.

    Raises:
        Misconfigured: with one line for each thing to change.
    """
    try:
        settings = Settings()
    except ValidationError as error:
        lines = [
            f"{_setting_name(str(item['loc'][0]))}: {item['msg']}"
            for item in error.errors(include_input=False)
        ]
        raise Misconfigured(*lines) from None
    faults = list(_faults(settings))
    if faults:
        raise Misconfigured(*faults)
    return settings


def share_metrics(folder: str | Path) -> None:
    """Let several processes add up their metrics in one folder.

    prometheus_client decides where it counts when it is first imported, so this comes before any import of
    the application or the worker.  What processes that are gone have left behind is swept away: a process id
    comes back one day, and its file would then be read as somebody else's.
    """
    assert "prometheus_client" not in sys.modules, "too late: the metrics are counted in memory already"
    path = Path(folder)
    path.mkdir(parents=True, exist_ok=True)
    for file in path.glob("*_*.db"):
        owner = file.stem.rpartition("_")[2]
        if owner.isdigit() and not _is_running(int(owner)):
            file.unlink(missing_ok=True)
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(path.resolve())


def _is_running(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # somebody else's, but alive
        return True
    return True


def _setting_name(field: str) -> str:
    return field if field.isupper() else f"IDENTITY_{field.upper()}"


def _faults(settings: Settings) -> list[str]:
    faults = []
    url = urlsplit(settings.public_url)
    if url.scheme not in ("http", "https") or not url.netloc or url.query or url.fragment:
        faults.append("IDENTITY_PUBLIC_URL must be an http(s) URL without a query")
    if settings.log_level.upper() not in logging.getLevelNamesMapping():
        faults.append("IDENTITY_LOG_LEVEL must be DEBUG, INFO, WARNING, ERROR or CRITICAL")
    if settings.join_url and urlsplit(settings.join_url).scheme not in ("http", "https"):
        faults.append("IDENTITY_JOIN_URL must be an http(s) URL")
    faults.extend(_join_faults(settings))
    try:
        _ = settings.proxies
    except ValueError:
        faults.append("IDENTITY_TRUSTED_PROXIES must be addresses or networks, joined by commas")
    try:
        check_parts(host=settings.host, app_hash=settings.sms_app_hash or None, brand=settings.brand)
    except ValueError as error:
        faults.append(f"IDENTITY_PUBLIC_URL, IDENTITY_SMS_APP_HASH or IDENTITY_BRAND: {error}")
    try:
        _ = settings.number_policy
    except ValueError as error:
        faults.append(f"IDENTITY_PHONE_KINDS: {error}")
    faults.extend(_provider_faults(settings))
    if settings.production:
        faults.extend(_production_faults(settings, url.scheme))
    return faults


def _join_faults(settings: Settings) -> list[str]:
    faults = []
    if settings.hosted_join == "on" and settings.join_url:
        faults.append("IDENTITY_JOIN_URL leads away from what IDENTITY_HOSTED_JOIN=on asks for; set one")
    if settings.joined_url:
        where = urlsplit(settings.joined_url)
        if where.scheme not in ("http", "https") or not _HOST.fullmatch(where.netloc):
            faults.append("IDENTITY_JOINED_URL must be an http(s) URL")
    elif settings.joined_handover != "none":
        faults.append("IDENTITY_JOINED_HANDOVER needs IDENTITY_JOINED_URL")
    return faults


def _provider_faults(settings: Settings) -> list[str]:
    try:
        parse_route(settings.sms_route)
    except ValueError as error:
        return [f"IDENTITY_SMS_ROUTE: {error}"]
    try:
        providers = settings.providers
    except ValueError as error:
        return [f"IDENTITY_SMS_ROUTES: {error}"]
    known = ", ".join(sorted(KNOWN_PROVIDERS))
    faults = [
        f"{_route_setting(settings, name)}: there is no provider {name!r} (known: {known})"
        for name in providers
        if name not in KNOWN_PROVIDERS
    ]
    if "twilio" in providers:
        if not settings.twilio_account_sid:
            faults.append("TWILIO_ACCOUNT_SID is needed by the provider twilio")
        if not settings.twilio_auth_token.get_secret_value():
            faults.append("TWILIO_AUTH_TOKEN is needed by the provider twilio")
        if not (settings.twilio_messaging_service_sid or settings.twilio_from):
            faults.append("TWILIO_MESSAGING_SERVICE_SID or TWILIO_FROM is needed by the provider twilio")
    if "vonage" in providers:
        needed = {
            "VONAGE_API_KEY": settings.vonage_api_key,
            "VONAGE_API_SECRET": settings.vonage_api_secret.get_secret_value(),
            "VONAGE_SIGNATURE_SECRET": settings.vonage_signature_secret.get_secret_value(),
            "VONAGE_FROM": settings.vonage_from,
        }
        faults += [f"{name} is needed by the provider vonage" for name, value in needed.items() if not value]
    if "webhook" in providers:
        try:
            SignedWebhookProvider(url=settings.sms_webhook_url, secrets=settings.webhook_secrets)
        except ValueError as error:
            faults.append(f"IDENTITY_SMS_WEBHOOK_URL, IDENTITY_SMS_WEBHOOK_SECRETS: {error}")
    return faults


def _route_setting(settings: Settings, provider: str) -> str:
    """Return the setting that names a provider."""
    return "IDENTITY_SMS_ROUTE" if provider in settings.routes.default.names else "IDENTITY_SMS_ROUTES"


def _production_provider_faults(settings: Settings) -> list[str]:
    faults = []
    for setting, text in (
        ("IDENTITY_SMS_ROUTE", settings.sms_route),
        ("IDENTITY_SMS_ROUTES", settings.sms_routes),
    ):
        if {"inbox", "null"} & set(re.split(r"[\s,;=]+", text)):
            faults.append(f"{setting}: the providers inbox and null are for development; name a real one")
    token = settings.twilio_auth_token.get_secret_value()
    if token and (len(token) < MIN_TOKEN or len(set(token)) < 8):
        faults.append("TWILIO_AUTH_TOKEN is too short or a default: it signs the reports that we believe")
    secret = settings.vonage_signature_secret.get_secret_value()
    if secret and (len(secret) < MIN_SIGNATURE or len(set(secret)) < 8):
        faults.append("VONAGE_SIGNATURE_SECRET is too short or a default: it signs the reports we believe")
    for name, address, what in (
        ("TWILIO_API_BASE_URL", settings.twilio_api_base_url, "the account's token goes there"),
        ("VONAGE_API_BASE_URL", settings.vonage_api_base_url, "the account's secret goes there"),
        ("IDENTITY_SMS_WEBHOOK_URL", settings.sms_webhook_url, "numbers and codes go there"),
    ):
        if address and urlsplit(address).scheme != "https":
            faults.append(f"{name} must be https in production: {what}")
    return faults


def _production_faults(settings: Settings, scheme: str) -> list[str]:
    faults = _production_provider_faults(settings)
    if not settings.keyring.get_secret_value():
        faults.append(
            "IDENTITY_KEYRING is required in production (make one with `identity keys rotate --new FILE`)"
        )
    if settings.is_sqlite and settings.sqlite_synchronous != "FULL":
        faults.append("IDENTITY_SQLITE_SYNCHRONOUS must be FULL in production: an answered commit must last")
    if settings.is_sqlite and make_url(settings.store_url).database in (None, "", ":memory:"):
        faults.append("IDENTITY_DATABASE_URL must name a file: what is in memory is gone at the next start")
    if settings.join_url and urlsplit(settings.join_url).scheme != "https":
        faults.append("IDENTITY_JOIN_URL must be https in production: invite codes go there")
    if settings.joined_url and urlsplit(settings.joined_url).scheme != "https":
        faults.append("IDENTITY_JOINED_URL must be https in production: new members' assertions go there")
    if settings.debug:
        faults.append("IDENTITY_DEBUG must be off in production")
    if scheme != "https":
        faults.append("IDENTITY_PUBLIC_URL must be https in production")
    if not settings.database_url:
        faults.append("IDENTITY_DATABASE_URL must be set in production")
    return faults
