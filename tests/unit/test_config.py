"""Settings: what production refuses, and that each refusal names what to change."""

from __future__ import annotations

from pathlib import Path

import pytest

from identity_service.config import Settings, load_settings
from identity_service.crypto import Keyring, dump_keys, fresh_keys
from identity_service.errors import Misconfigured

SAFE = {
    "IDENTITY_ENV": "production",
    "IDENTITY_DATABASE_URL": "postgresql://identity@db/identity",
    "IDENTITY_KEYRING": "/run/secrets/keyring.json",
    "IDENTITY_PUBLIC_URL": "https://id.example.org",
    "IDENTITY_SMS_ROUTE": "twilio",
    "TWILIO_ACCOUNT_SID": "AC00000000000000000000000000000000",
    "TWILIO_AUTH_TOKEN": "0123456789abcdef0123456789abcdef",
    "TWILIO_MESSAGING_SERVICE_SID": "MG00000000000000000000000000000000",
}


@pytest.fixture(autouse=True)
def _only_what_a_test_sets(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import os

    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith(("IDENTITY_", "TWILIO_", "VONAGE_"))]:
        monkeypatch.delenv(name)


def _set(monkeypatch: pytest.MonkeyPatch, values: dict[str, str]) -> None:
    for name, value in values.items():
        monkeypatch.setenv(name, value)


def test_safe_settings_start_in_production(monkeypatch: pytest.MonkeyPatch) -> None:
    _set(monkeypatch, SAFE)
    settings = load_settings()
    assert settings.production
    assert settings.store_url == "postgresql+psycopg://identity@db/identity"


@pytest.mark.parametrize(
    ("change", "names"),
    [
        ({"IDENTITY_SMS_ROUTE": "inbox"}, "IDENTITY_SMS_ROUTE"),
        ({"IDENTITY_SMS_ROUTE": "twilio,inbox"}, "IDENTITY_SMS_ROUTE"),
        ({"IDENTITY_SMS_ROUTE": "null"}, "IDENTITY_SMS_ROUTE"),
        ({"IDENTITY_SMS_ROUTES": "RU=inbox"}, "IDENTITY_SMS_ROUTES"),
        ({"IDENTITY_SMS_ROUTES": "RU=pigeon"}, "IDENTITY_SMS_ROUTES.*pigeon"),
        ({"IDENTITY_SMS_ROUTES": "RU=vonage"}, "VONAGE_SIGNATURE_SECRET"),
        ({"IDENTITY_SMS_ROUTES": "RU:twilio"}, "IDENTITY_SMS_ROUTES.*RU:twilio"),
        ({"IDENTITY_SMS_ROUTE": "webhook"}, "IDENTITY_SMS_WEBHOOK_URL"),
        ({"VONAGE_SIGNATURE_SECRET": "short"}, "VONAGE_SIGNATURE_SECRET"),
        ({"VONAGE_API_BASE_URL": "http://vonage.example.org"}, "VONAGE_API_BASE_URL"),
        ({"IDENTITY_SMS_WEBHOOK_URL": "http://sms.example.org"}, "IDENTITY_SMS_WEBHOOK_URL"),
        ({"IDENTITY_PHONE_KINDS": "mobile,premium"}, "IDENTITY_PHONE_KINDS"),
        ({"IDENTITY_SMS_ROUTE": ""}, "IDENTITY_SMS_ROUTE"),
        ({"IDENTITY_SMS_ROUTE": "carrier-pigeon"}, "carrier-pigeon"),
        ({"IDENTITY_KEYRING": ""}, "IDENTITY_KEYRING"),
        ({"IDENTITY_DEBUG": "true"}, "IDENTITY_DEBUG"),
        ({"IDENTITY_PUBLIC_URL": "http://id.example.org"}, "IDENTITY_PUBLIC_URL"),
        ({"IDENTITY_PUBLIC_URL": "id.example.org"}, "IDENTITY_PUBLIC_URL"),
        ({"IDENTITY_JOIN_URL": "javascript:alert(1)"}, "IDENTITY_JOIN_URL"),
        ({"IDENTITY_DATABASE_URL": ""}, "IDENTITY_DATABASE_URL"),
        (
            {
                "IDENTITY_DATABASE_URL": "sqlite:////srv/identity.sqlite3",
                "IDENTITY_SQLITE_SYNCHRONOUS": "NORMAL",
            },
            "IDENTITY_SQLITE_SYNCHRONOUS",
        ),
        ({"IDENTITY_SQLITE_SYNCHRONOUS": "OFF"}, "IDENTITY_SQLITE_SYNCHRONOUS"),
        ({"TWILIO_AUTH_TOKEN": ""}, "TWILIO_AUTH_TOKEN"),
        ({"TWILIO_ACCOUNT_SID": ""}, "TWILIO_ACCOUNT_SID"),
        ({"TWILIO_MESSAGING_SERVICE_SID": ""}, "TWILIO_MESSAGING_SERVICE_SID"),
        ({"IDENTITY_TRUSTED_PROXIES": "10.0.0.0/8,nonsense"}, "IDENTITY_TRUSTED_PROXIES"),
        ({"IDENTITY_ENV": "prod"}, "IDENTITY_ENV"),
    ],
    ids=lambda value: "+".join(value) if isinstance(value, dict) else None,
)
def test_production_refuses_an_unsafe_setting_and_names_it(
    monkeypatch: pytest.MonkeyPatch, change: dict[str, str], names: str
) -> None:
    _set(monkeypatch, SAFE | change)
    with pytest.raises(Misconfigured, match=names):
        load_settings()


def test_every_fault_is_told_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IDENTITY_ENV", "production")
    with pytest.raises(Misconfigured) as caught:
        load_settings()
    for name in ("SMS_ROUTE", "KEYRING", "PUBLIC_URL", "DATABASE_URL"):
        assert f"IDENTITY_{name}" in str(caught.value)


def test_a_secret_never_stands_in_a_refusal_or_in_the_settings_text(monkeypatch: pytest.MonkeyPatch) -> None:
    token, keys = SAFE["TWILIO_AUTH_TOKEN"], dump_keys(fresh_keys(0))
    _set(monkeypatch, SAFE | {"IDENTITY_KEYRING": keys, "IDENTITY_PUBLIC_URL": "http://x"})
    with pytest.raises(Misconfigured) as caught:
        load_settings()
    assert token not in str(caught.value)
    monkeypatch.setenv("IDENTITY_PUBLIC_URL", "https://x")
    shown = repr(load_settings())
    assert token not in shown
    assert keys[40:90] not in shown


@pytest.mark.parametrize("secret", ["c2hvcnQ=", "QUFB" * 11])
def test_a_short_or_default_secret_is_refused_wherever_it_is_loaded(tmp_path: Path, secret: str) -> None:
    document = dump_keys(fresh_keys(0))
    first = document.index('"secret": "') + len('"secret": "')
    path = tmp_path / "keyring.json"
    path.write_text(document[:first] + secret + document[document.index('"', first) :])
    with pytest.raises(Misconfigured, match="IDENTITY_KEYRING"):
        Keyring.load(str(path))


def test_development_needs_no_setting_at_all() -> None:
    settings = load_settings()
    assert not settings.production
    assert settings.is_sqlite
    assert settings.store_url.endswith("/var/identity.sqlite3")
    assert settings.providers == ("inbox",)


@pytest.mark.parametrize(
    ("url", "driver"),
    [
        ("postgres://u@h/d", "postgresql+psycopg://u@h/d"),
        ("postgresql://u:p@h:5433/d", "postgresql+psycopg://u:p@h:5433/d"),
        ("postgresql+psycopg2://u@h/d", "postgresql+psycopg://u@h/d"),
    ],
)
def test_any_spelling_of_postgresql_uses_the_one_driver(url: str, driver: str) -> None:
    assert Settings(database_url=url).store_url == driver


@pytest.mark.parametrize("url", ["mysql://u@h/d", "nonsense"])
def test_another_database_is_refused_by_name(url: str) -> None:
    with pytest.raises(Misconfigured, match="IDENTITY_DATABASE_URL"):
        _ = Settings(database_url=url).store_url


def test_an_empty_or_unknown_route_is_refused_in_development_too(monkeypatch: pytest.MonkeyPatch) -> None:
    for route in ("", ",", "smoke-signals"):
        monkeypatch.setenv("IDENTITY_SMS_ROUTE", route)
        with pytest.raises(Misconfigured, match="IDENTITY_SMS_ROUTE"):
            load_settings()


@pytest.mark.parametrize(
    ("change", "hosts"),
    [
        ({}, True),
        ({"IDENTITY_JOIN_URL": "https://app.example.org/{code}"}, False),
        ({"IDENTITY_HOSTED_JOIN": "off"}, False),
        ({"IDENTITY_HOSTED_JOIN": "on"}, True),
        (SAFE, False),
        (SAFE | {"IDENTITY_HOSTED_JOIN": "on"}, True),
    ],
)
def test_the_join_page_is_hosted_where_it_is_said_or_where_a_developer_has_no_other(
    monkeypatch: pytest.MonkeyPatch, change: dict[str, str], hosts: bool
) -> None:
    _set(monkeypatch, change)
    assert load_settings().hosts_join is hosts


def test_an_invite_by_sms_names_the_host_of_the_page_that_it_leads_to(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    _set(monkeypatch, SAFE | {"IDENTITY_HOSTED_JOIN": "on"})
    assert load_settings().join_host == "id.example.org"


@pytest.mark.parametrize(
    ("change", "names"),
    [
        ({"IDENTITY_JOINED_HANDOVER": "post"}, "IDENTITY_JOINED_URL"),
        ({"IDENTITY_JOINED_URL": "javascript:alert(1)"}, "IDENTITY_JOINED_URL"),
        ({"IDENTITY_JOINED_URL": "https://a.example; script-src *"}, "IDENTITY_JOINED_URL"),
        ({"IDENTITY_JOINED_URL": "http://app.example.org"}, "IDENTITY_JOINED_URL"),
        (
            {"IDENTITY_HOSTED_JOIN": "on", "IDENTITY_JOIN_URL": "https://a.example/{code}"},
            "IDENTITY_JOIN_URL",
        ),
        ({"IDENTITY_HOSTED_JOIN": "maybe"}, "IDENTITY_HOSTED_JOIN"),
    ],
)
def test_settings_of_the_join_page_that_make_no_sense_are_named(
    monkeypatch: pytest.MonkeyPatch, change: dict[str, str], names: str
) -> None:
    _set(monkeypatch, SAFE | change)
    with pytest.raises(Misconfigured) as refused:
        load_settings()
    assert any(names in fault for fault in refused.value.faults)


def test_links_lead_to_the_development_server_that_runs_in_this_folder(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Fault: a sign-in link printed beside `./dev up --port 8123` led to port 8000, where nothing was."""
    assert load_settings().public_url == "http://127.0.0.1:8000"
    Path("var").mkdir()
    dev_json = Path("var/dev.json")
    dev_json.write_text('{"url": "http://127.0.0.1:8123", "api_key": "x"}')
    settings = load_settings()
    assert settings.dashboard_sign_in == "http://127.0.0.1:8123/dashboard/sign-in"
    assert "public_url" not in settings.model_fields_set, "a second server still names its own port"
    monkeypatch.setenv("IDENTITY_PUBLIC_URL", "http://localhost:9000")
    assert load_settings().public_url == "http://localhost:9000"
    monkeypatch.delenv("IDENTITY_PUBLIC_URL")
    for broken in ("", "[]", "{"):
        dev_json.write_text(broken)
        assert load_settings().public_url == "http://127.0.0.1:8000"


def test_production_takes_no_address_from_a_development_server(monkeypatch: pytest.MonkeyPatch) -> None:
    Path("var").mkdir()
    Path("var/dev.json").write_text('{"url": "https://elsewhere.example"}')
    _set(monkeypatch, {name: value for name, value in SAFE.items() if name != "IDENTITY_PUBLIC_URL"})
    with pytest.raises(Misconfigured, match="IDENTITY_PUBLIC_URL"):
        load_settings()
