"""Keys and what is done with them."""

from __future__ import annotations

import base64
import json
import stat
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from joserfc import jwt
from joserfc.errors import BadSignatureError, JoseError
from joserfc.jwk import KeySet

from identity_service.crypto import (
    ASSERTION_SECONDS,
    Assertions,
    Hasher,
    Key,
    Keyring,
    KeyState,
    Purpose,
    Seal,
    SealBroken,
    Signer,
    TokenExpired,
    TokenInvalid,
    dump_keys,
    fresh_keys,
    new_key,
    parse_keys,
    write_private,
)
from identity_service.errors import Misconfigured
from identity_service.ports import MINUTE, SECOND, SystemClock

NOW = 1_800_000_000 * SECOND


def _rotated(keys: tuple[Key, ...], purpose: Purpose) -> tuple[Key, ...]:
    """A new current key for `purpose`; the old one still reads."""
    old = tuple(
        replace(key, state=KeyState.RETIRING) if key.purpose is purpose else key
        for key in keys
        if not (key.purpose is purpose and key.state is KeyState.RETIRING)
    )
    return (*old, new_key(purpose, KeyState.CURRENT, NOW))


def _without_retiring(keys: tuple[Key, ...]) -> tuple[Key, ...]:
    return tuple(key for key in keys if key.state is not KeyState.RETIRING)


# -- sealing ------------------------------------------------------------------------------------------


def test_a_sealed_value_opens_only_in_its_own_row() -> None:
    seal = Seal(Keyring(fresh_keys(NOW)))
    sealed = seal.close(b"+79161234567", "phn_a")
    assert seal.open(sealed, "phn_a") == b"+79161234567"
    with pytest.raises(SealBroken):
        seal.open(sealed, "phn_b")


def test_every_changed_byte_of_a_sealed_value_is_noticed() -> None:
    seal = Seal(Keyring(fresh_keys(NOW)))
    sealed = seal.close(b"271828", "ver_a")
    begins = 1 + sealed[0]
    for at in range(begins, len(sealed)):
        with pytest.raises(SealBroken):
            seal.open(sealed[:at] + bytes([sealed[at] ^ 1]) + sealed[at + 1 :], "ver_a")


def test_the_same_value_sealed_twice_looks_different() -> None:
    seal = Seal(Keyring(fresh_keys(NOW)))
    assert seal.close(b"271828", "ver_a") != seal.close(b"271828", "ver_a")


def test_a_value_sealed_before_a_rotation_opens_until_its_key_is_dropped() -> None:
    keys = fresh_keys(NOW)
    sealed = Seal(Keyring(keys)).close(b"secret", "row")
    rotated = _rotated(keys, Purpose.SEAL)
    assert Seal(Keyring(rotated)).open(sealed, "row") == b"secret"
    assert Seal(Keyring(rotated)).key_id(Seal(Keyring(rotated)).close(b"x", "row")) == rotated[-1].id
    with pytest.raises(SealBroken):
        Seal(Keyring(_without_retiring(rotated))).open(sealed, "row")


# -- hashing ------------------------------------------------------------------------------------------


def test_labels_and_purposes_keep_hashes_of_one_text_apart() -> None:
    keyring = Keyring(fresh_keys(NOW))
    codes, phones = Hasher(keyring, Purpose.CODE_HASH), Hasher(keyring, Purpose.PHONE_LOOKUP)
    hashes = {codes.current("a", "x"), codes.current("b", "x"), phones.current("a", "x")}
    assert len(hashes) == 3
    # A label that ends where another's text begins must not meet it.
    assert codes.current("ab", "c") != codes.current("a", "bc")


def test_in_a_rotation_the_new_key_writes_and_both_read() -> None:
    keys = fresh_keys(NOW)
    before = Hasher(Keyring(keys), Purpose.CODE_HASH).current("invite", "CODE")
    hasher = Hasher(Keyring(_rotated(keys, Purpose.CODE_HASH)), Purpose.CODE_HASH)
    now, old = hasher.live("invite", "CODE")
    assert old == before
    assert now == hasher.current("invite", "CODE") != before


def test_a_coming_key_is_written_beside_the_current_one_and_not_relied_on() -> None:
    keys = (*fresh_keys(NOW), new_key(Purpose.PHONE_LOOKUP, KeyState.NEXT, NOW))
    hasher = Hasher(Keyring(keys), Purpose.PHONE_LOOKUP)
    rows = hasher.rows("phone", "+79161234567")
    assert [key_id for key_id, _ in rows] == [keys[0].id, keys[-1].id]
    assert hasher.current("phone", "+79161234567") == rows[0][1]


# -- signed tokens --------------------------------------------------------------------------------------


def test_a_token_is_bound_to_its_salt_and_its_age() -> None:
    signer = Signer(Keyring(fresh_keys(NOW)))
    token = signer.sign("proof", {"v": 1}, NOW)
    assert signer.read("proof", token, max_age=600, now=NOW + 600 * SECOND) == {"v": 1}
    with pytest.raises(TokenExpired):
        signer.read("proof", token, max_age=600, now=NOW + 602 * SECOND)
    with pytest.raises(TokenInvalid):
        signer.read("sign-in", token, max_age=600, now=NOW)
    with pytest.raises(TokenInvalid):
        signer.read("proof", token[:-2] + ("AA" if token[-2:] != "AA" else "BB"), max_age=600, now=NOW)


def test_tokens_of_both_keys_are_read_in_a_rotation_and_the_new_key_signs() -> None:
    keys = fresh_keys(NOW)
    old = Signer(Keyring(keys)).sign("proof", "old", NOW)
    rotated = _rotated(keys, Purpose.SIGNING)
    signer = Signer(Keyring(rotated))
    new = signer.sign("proof", "new", NOW)
    assert signer.read("proof", old, max_age=600, now=NOW) == "old"
    after = Signer(Keyring(_without_retiring(rotated)))
    assert after.read("proof", new, max_age=600, now=NOW) == "new"
    with pytest.raises(TokenInvalid):
        after.read("proof", old, max_age=600, now=NOW)


def test_signing_again_at_the_same_instant_gives_the_same_token() -> None:
    signer = Signer(Keyring(fresh_keys(NOW)))
    assert signer.sign("proof", {"v": 1}, NOW) == signer.sign("proof", {"v": 1}, NOW)


@pytest.mark.parametrize("token", ["", ".", "a.b.c", "é", "x" * 2000, "eyJ2IjoxfQ.aaaa.bbbb"])
def test_anything_else_is_an_invalid_token(token: str) -> None:
    with pytest.raises(TokenInvalid):
        Signer(Keyring(fresh_keys(NOW))).read("proof", token, max_age=600, now=NOW)


# -- assertions -----------------------------------------------------------------------------------------


def _check(token: str, jwks: dict[str, Any], now: int) -> dict[str, Any]:
    """Check an assertion offline, as another service would, with nothing but the published keys."""
    keys = KeySet.import_key_set(json.loads(json.dumps(jwks)))
    decoded = jwt.decode(token, keys, algorithms=["EdDSA"])
    assert decoded.header["typ"] == "at+jwt"
    registry = jwt.JWTClaimsRegistry(
        now=lambda: now // SECOND,
        leeway=0,
        iss={"essential": True, "value": "https://id.example.org"},
        aud={"essential": True, "value": "cli_1"},
    )
    registry.validate(decoded.claims)
    return dict(decoded.claims)


def _issue(keys: tuple[Key, ...]) -> str:
    return Assertions(Keyring(keys), "https://id.example.org").issue(
        member_id="mem_1", audience="cli_1", purpose="login", jti="ast_1", now=NOW
    )


def _jwks(keys: tuple[Key, ...]) -> dict[str, Any]:
    return Assertions(Keyring(keys), "https://id.example.org").jwks()


def test_an_assertion_is_checked_offline_by_the_published_keys() -> None:
    keys = fresh_keys(NOW)
    claims = _check(_issue(keys), _jwks(keys), NOW)
    assert (claims["sub"], claims["aud"], claims["purpose"]) == ("mem_1", "cli_1", "login")
    assert claims["exp"] - claims["iat"] == ASSERTION_SECONDS == 600


def test_an_assertion_is_over_after_ten_minutes() -> None:
    keys = fresh_keys(NOW)
    _check(_issue(keys), _jwks(keys), NOW + 9 * MINUTE)
    with pytest.raises(JoseError):
        _check(_issue(keys), _jwks(keys), NOW + 11 * MINUTE)


def test_an_assertion_of_other_keys_or_altered_is_refused() -> None:
    keys, others = fresh_keys(NOW), fresh_keys(NOW)
    with pytest.raises((JoseError, ValueError)):
        _check(_issue(others), _jwks(keys), NOW)
    head, body, signature = _issue(keys).split(".")
    forged = base64.urlsafe_b64encode(
        json.dumps(json.loads(base64.urlsafe_b64decode(body + "==")) | {"sub": "mem_2"}).encode()
    ).rstrip(b"=")
    with pytest.raises(BadSignatureError):
        _check(f"{head}.{forged.decode()}.{signature}", _jwks(keys), NOW)


def test_the_published_keys_hold_no_private_part_and_both_keys_of_a_rotation() -> None:
    keys = fresh_keys(NOW)
    rotated = _rotated(keys, Purpose.ASSERTION)
    published = _jwks(rotated)["keys"]
    assert [key["kid"] for key in published] == [rotated[-1].id, keys[-1].id]
    assert all("d" not in key and key["alg"] == "EdDSA" and key["use"] == "sig" for key in published)
    _check(_issue(keys), {"keys": published}, NOW)


# -- the keyring ------------------------------------------------------------------------------------------


def _faulty(**change: Any) -> str:
    document = json.loads(dump_keys(fresh_keys(NOW)))
    document["keys"][0] |= change
    return json.dumps(document)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "not a keyring"),
        ("[]", "not a keyring"),
        ('{"keys": {}}', "exactly one current"),
        ('{"keys": []}', "exactly one current phone_lookup"),
        (_faulty(secret="c2hvcnQ="), "too short or a default"),
        (_faulty(secret=base64.b64encode(bytes(32)).decode()), "too short or a default"),
        (_faulty(secret=base64.b64encode(b"changeme" * 4).decode()[:-4]), "not a keyring|too short"),
        (_faulty(secret="not base64!"), "not a keyring"),
        (_faulty(purpose="seal"), "phone_lookup"),
        (_faulty(state="retired"), "not a keyring"),
        (_faulty(state="next"), "exactly one current phone_lookup"),
    ],
)
def test_a_faulty_keyring_is_refused_with_what_is_wrong(text: str, words: str) -> None:
    with pytest.raises(Misconfigured, match=words) as caught:
        parse_keys(text)
    assert "IDENTITY_KEYRING" in str(caught.value)


def test_three_live_keys_of_one_purpose_are_too_many() -> None:
    keys = fresh_keys(NOW)
    more = tuple(new_key(Purpose.SEAL, KeyState.RETIRING, NOW) for _ in range(2))
    with pytest.raises(Misconfigured, match="seal"):
        parse_keys(dump_keys((*keys, *more)))


def test_a_keyring_is_written_and_read_back() -> None:
    keys = _rotated(fresh_keys(NOW), Purpose.SEAL)
    assert parse_keys(dump_keys(keys)) == keys


def test_a_missing_file_is_made_only_where_that_is_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "var" / "keyring.json"
    with pytest.raises(Misconfigured, match="IDENTITY_KEYRING"):
        Keyring.load(str(path))
    made = Keyring.load(str(path), create_at=NOW)
    assert Keyring.load(str(path), create_at=NOW).all() == made.all()


def test_the_file_is_its_owners_only(tmp_path: Path) -> None:
    path = tmp_path / "keyring.json"
    Keyring.load(str(path), create_at=NOW)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    write_private(path, dump_keys(fresh_keys(NOW)))
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [entry.name for entry in tmp_path.iterdir()] == ["keyring.json"]  # no draft is left behind


def test_two_processes_that_make_the_file_at_once_use_the_same_keys(tmp_path: Path) -> None:
    path = tmp_path / "keyring.json"
    first = dump_keys(fresh_keys(NOW))
    write_private(path, first, exclusive=True)
    write_private(path, dump_keys(fresh_keys(NOW)), exclusive=True)
    assert path.read_text() == first


def test_a_changed_file_is_in_use_within_a_second(tmp_path: Path) -> None:
    path = tmp_path / "keyring.json"
    keyring = Keyring.load(str(path), create_at=SystemClock().now())
    seal = Seal(keyring)
    sealed = seal.close(b"x", "row")
    rotated = _rotated(keyring.all(), Purpose.SEAL)
    write_private(path, dump_keys(rotated))
    time.sleep(0.9)
    assert keyring.current(Purpose.SEAL) == rotated[-1]
    assert seal.open(sealed, "row") == b"x"
    assert seal.key_id(seal.close(b"y", "row")) == rotated[-1].id


@pytest.mark.parametrize("text", ["", "{", '{"keys": []}'])
def test_a_file_broken_while_running_leaves_the_keys_as_they_were(tmp_path: Path, text: str) -> None:
    path = tmp_path / "keyring.json"
    keyring = Keyring.load(str(path), create_at=NOW)
    before = keyring.all()
    path.write_text(text)
    time.sleep(0.6)
    assert keyring.all() == before
    rotated = _rotated(before, Purpose.SEAL)
    write_private(path, dump_keys(rotated))
    time.sleep(0.6)
    assert keyring.all() == rotated


def test_keys_given_as_the_value_itself_are_used_and_have_no_file() -> None:
    keys = fresh_keys(NOW)
    keyring = Keyring.load(dump_keys(keys))
    assert keyring.all() == keys
    assert keyring.path is None


def test_a_key_hides_its_secret_from_logs() -> None:
    key = fresh_keys(NOW)[0]
    assert repr(key.secret) not in repr(key)
    assert base64.b64encode(key.secret).decode() not in repr(key)
