"""Keys and what is done with them: look-up hashes, sealed values, signed links, assertions.

Owns the keyring and every primitive; refuses to know a table.  Each purpose has keys of its own, so that
one may leak or rotate without the others:

==============  ==================================================================================
phone_lookup    HMAC-SHA-256 of an E.164 number: found again, never read back
seal            AES-256-GCM of numbers, one-time codes and stored answers, the row's id as associated data
code_hash       HMAC-SHA-256 of invite codes, API keys, device tokens, recovery codes, fingerprints
signing         itsdangerous: proofs and sign-in links, one salt a purpose
assertion       Ed25519 JWTs, public half at /.well-known/jwks.json
==============  ==================================================================================

Rotation is live: the newest *current* key writes, every key that is not retired reads, and running
processes pick a changed keyring file up within a second.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import os
import secrets
import threading
import time
import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, Final, TypeVar

import structlog
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from itsdangerous import BadData, SignatureExpired, TimestampSigner, URLSafeTimedSerializer
from joserfc import jwt
from joserfc.jwk import KeySet, OKPKey

from identity_service.errors import Misconfigured
from identity_service.ports import SECOND, Instant, rfc3339

T = TypeVar("T")
log = structlog.get_logger("crypto")

MIN_SECRET_BYTES: Final = 32
MAX_LIVE_KEYS: Final = 2


class Purpose(StrEnum):
    PHONE_LOOKUP = "phone_lookup"
    SEAL = "seal"
    CODE_HASH = "code_hash"
    SIGNING = "signing"
    ASSERTION = "assertion"


class KeyState(StrEnum):
    NEXT = "next"
    """Read by all, written beside the current one where an index must hold both; not yet relied on."""
    CURRENT = "current"
    RETIRING = "retiring"
    """Still read, no longer written."""


@dataclass(frozen=True, kw_only=True)
class Key:
    id: str
    purpose: Purpose
    state: KeyState
    secret: bytes
    created_at: str

    def __repr__(self) -> str:
        return f"Key({self.id}, {self.purpose}, {self.state})"


def new_key(purpose: Purpose, state: KeyState, at: Instant) -> Key:
    secret = secrets.token_bytes(MIN_SECRET_BYTES)
    key_id = f"{purpose}-{rfc3339(at)[:10]}-{secrets.token_hex(3)}"
    return Key(id=key_id, purpose=purpose, state=state, secret=secret, created_at=rfc3339(at))


def parse_keys(text: str) -> tuple[Key, ...]:
    """Read a keyring document: ``{"keys": [{id, purpose, state, secret (base64), created_at}, ...]}``.

    Raises:
        Misconfigured: not such a document, a purpose without a current key or with too many live ones, or
            a secret that is short or obviously not random.
    """
    try:
        keys = tuple(
            Key(
                id=str(item["id"]),
                purpose=Purpose(item["purpose"]),
                state=KeyState(item["state"]),
                secret=base64.b64decode(item["secret"], validate=True),
                created_at=str(item["created_at"]),
            )
            for item in json.loads(text)["keys"]
        )
    except (ValueError, KeyError, TypeError) as error:
        raise Misconfigured(f"IDENTITY_KEYRING is not a keyring ({type(error).__name__})") from None
    for purpose in Purpose:
        of_purpose = [key for key in keys if key.purpose is purpose]
        if sum(key.state is KeyState.CURRENT for key in of_purpose) != 1 or len(of_purpose) > MAX_LIVE_KEYS:
            raise Misconfigured(
                f"IDENTITY_KEYRING needs exactly one current {purpose} key, and at most one beside it"
            )
    for key in keys:
        if len(key.secret) < MIN_SECRET_BYTES or len(set(key.secret)) < 8:
            raise Misconfigured(f"IDENTITY_KEYRING: the secret of {key.id} is too short or a default")
    return keys


def dump_keys(keys: Iterable[Key]) -> str:
    rows = [asdict(key) | {"secret": base64.b64encode(key.secret).decode()} for key in keys]
    return json.dumps({"keys": rows}, indent=1)


def fresh_keys(at: Instant) -> tuple[Key, ...]:
    return tuple(new_key(purpose, KeyState.CURRENT, at) for purpose in Purpose)


class Keyring:
    """The live keys.  Reads its file again when it changed; a value in the environment never changes."""

    _LOOK_EVERY: Final = 0.5  # seconds; a rotation reaches every process within one

    def __init__(self, keys: tuple[Key, ...], path: Path | None = None) -> None:
        self._path, self._lock = path, threading.Lock()
        self._stamp = self._file_stamp()
        self._looked = time.monotonic()
        self._set(keys)

    @classmethod
    def load(cls, source: str, *, create_at: Instant | None = None) -> Keyring:
        """Load from a file's path or from the document itself.

        Parameters:
            source: the setting's value.
            create_at: make the file, readable by its owner only, where there is none (development).
        """
        if source.lstrip().startswith("{"):
            return cls(parse_keys(source))
        path = Path(source)
        if create_at is not None and not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            write_private(path, dump_keys(fresh_keys(create_at)), exclusive=True)
        try:
            return cls(parse_keys(path.read_text()), path)
        except OSError as error:
            raise Misconfigured(f"IDENTITY_KEYRING: {source} cannot be read ({error.strerror})") from None
        except UnicodeDecodeError:
            raise Misconfigured(f"IDENTITY_KEYRING: {source} is not a keyring") from None

    def _set(self, keys: tuple[Key, ...]) -> None:
        self._keys = keys
        self._by_purpose = {
            purpose: tuple(
                sorted(
                    (key for key in keys if key.purpose is purpose), key=lambda key: key.state != "current"
                )
            )
            for purpose in Purpose
        }
        self._by_id = {key.id: key for key in keys}
        self._derived: dict[tuple[str, str], Any] = {}

    def _file_stamp(self) -> tuple[int, int] | None:
        if self._path is None:
            return None
        try:
            stat = self._path.stat()
        except OSError:
            return None  # being replaced: keep what we have
        return stat.st_mtime_ns, stat.st_ino

    def _refresh(self) -> None:
        if self._path is None or time.monotonic() - self._looked < self._LOOK_EVERY:
            return
        with self._lock:
            self._looked = time.monotonic()
            stamp = self._file_stamp()
            if stamp is None or stamp == self._stamp:
                return
            self._stamp = stamp
            try:
                self._set(parse_keys(self._path.read_text()))
            except (Misconfigured, OSError, UnicodeDecodeError) as error:
                # A slip of the hand must not stop what runs: go on with the keys that we have.
                log.warning("keyring_unusable", error=type(error).__name__)

    def reload(self) -> None:
        """Read the file now: who changes it must not overwrite what was changed a moment ago.

        Raises:
            Misconfigured, OSError
        """
        if self._path is not None:
            with self._lock:
                self._stamp = self._file_stamp()
                self._set(parse_keys(self._path.read_text()))

    @property
    def path(self) -> Path | None:
        return self._path

    def all(self) -> tuple[Key, ...]:
        self._refresh()
        return self._keys

    def live(self, purpose: Purpose) -> tuple[Key, ...]:
        """Return the keys that read, the one that writes first."""
        self._refresh()
        return self._by_purpose[purpose]

    def current(self, purpose: Purpose) -> Key:
        return self.live(purpose)[0]

    def derived(self, key: Key, kind: str, make: Callable[[], T]) -> T:
        """Return a key's prepared form (a cipher, a signer), made once."""
        try:
            return self._derived[key.id, kind]  # type: ignore[no-any-return]
        except KeyError:
            made = self._derived[key.id, kind] = make()
            return made

    def by_id(self, key_id: str) -> Key | None:
        self._refresh()
        return self._by_id.get(key_id)


def write_private(path: Path, text: str, *, exclusive: bool = False) -> None:
    """Write a file that only its owner may read, whole or not at all.

    With `exclusive`, a file that another process made first is kept: both then use that one.
    """
    draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    if not exclusive:
        draft.replace(path)
        return
    try:
        os.link(draft, path)
    except FileExistsError:
        pass
    finally:
        draft.unlink()


def _mac(key: Key, label: str, data: bytes) -> bytes:
    return hmac.digest(key.secret, label.encode() + b"\x00" + data, "sha256")


class Hasher:
    """Keyed hashes for what must be found again but never read back.

    A `label` keeps the uses apart: the same text under two labels gives unrelated hashes.
    """

    def __init__(self, keyring: Keyring, purpose: Purpose) -> None:
        self._keyring, self._purpose = keyring, purpose

    def current(self, label: str, text: str) -> bytes:
        return _mac(self._keyring.current(self._purpose), label, text.encode())

    def many(self, label: str, texts: Iterable[str]) -> tuple[str, list[bytes]]:
        """Return the current key's id and the hash of each text under it."""
        key = self._keyring.current(self._purpose)
        return key.id, [_mac(key, label, text.encode()) for text in texts]

    def live(self, label: str, text: str) -> tuple[bytes, bytes]:
        """Return the hash under each of the (at most two) live keys: twice the same outside a rotation."""
        hashes = [_mac(key, label, text.encode()) for key in self._keyring.live(self._purpose)]
        return hashes[0], hashes[-1]

    def rows(self, label: str, text: str) -> list[tuple[str, bytes]]:
        """Return (key id, hash) under every live key, for an index that must hold both in a rotation."""
        return self.rows_of_many(label, (text,))[0]

    def rows_of_many(self, label: str, texts: Iterable[str]) -> list[list[tuple[str, bytes]]]:
        """Return what `rows` returns of each text; the keyring is looked at once."""
        keys = self._keyring.live(self._purpose)
        return [[(key.id, _mac(key, label, text.encode())) for key in keys] for text in texts]


_NONCE: Final = 12


class SealBroken(ValueError):
    """A sealed value was altered, belongs to another row, or its key is gone."""


class Seal:
    """AES-256-GCM.  Layout: one byte key id length, key id, 12 bytes nonce, ciphertext and tag.

    The associated data is the row (`phn_…`, `ver_…`): a value copied to another row does not open there.
    """

    def __init__(self, keyring: Keyring) -> None:
        self._keyring = keyring

    def _cipher(self, key: Key) -> AESGCM:
        return self._keyring.derived(key, "aesgcm", lambda: AESGCM(key.secret))

    def close(self, plain: bytes, row: str) -> bytes:
        return self.close_many([(plain, row)])[0]

    def close_many(self, values: Sequence[tuple[bytes, str]]) -> list[bytes]:
        """Seal values, each with its row; the keyring is looked at once."""
        key = self._keyring.current(Purpose.SEAL)
        name, cipher = key.id.encode(), self._cipher(key)
        head, chance = bytes([len(name)]) + name, os.urandom(_NONCE * len(values))
        nonces = (chance[_NONCE * n : _NONCE * (n + 1)] for n in range(len(values)))
        return [
            head + nonce + cipher.encrypt(nonce, plain, row.encode())
            for nonce, (plain, row) in zip(nonces, values, strict=True)
        ]

    def open(self, sealed: bytes, row: str) -> bytes:
        """Raises: SealBroken."""
        at = 1 + sealed[0]
        key = self._keyring.by_id(sealed[1:at].decode())
        if key is None:
            raise SealBroken("the key of a sealed value is not in the keyring")
        try:
            return self._cipher(key).decrypt(sealed[at : at + _NONCE], sealed[at + _NONCE :], row.encode())
        except InvalidTag:
            raise SealBroken("a sealed value does not open in this row") from None

    def key_id(self, sealed: bytes) -> str:
        return sealed[1 : 1 + sealed[0]].decode()


class TokenInvalid(ValueError):
    """Forged, cut, or made for something else."""


class TokenExpired(TokenInvalid):
    """Genuine and too old."""


class _SignerAt(TimestampSigner):
    """A signer whose clock is ours, so that a proof can be made again exactly as it was."""

    def __init__(self, *args: Any, at: int, **options: Any) -> None:
        super().__init__(*args, **options)
        self._at = at

    def get_timestamp(self) -> int:
        return self._at


class Signer:
    """itsdangerous tokens, one salt a purpose, checked against every live key."""

    def __init__(self, keyring: Keyring) -> None:
        self._keyring = keyring

    def _serializer(self, salt: str, at: Instant) -> URLSafeTimedSerializer:
        secrets_ = [key.secret for key in reversed(self._keyring.live(Purpose.SIGNING))]
        return URLSafeTimedSerializer(
            secrets_,
            salt=salt,
            signer=_SignerAt,
            signer_kwargs={"digest_method": hashlib.sha256, "at": at // SECOND},
        )

    def sign(self, salt: str, payload: Any, at: Instant) -> str:
        return str(self._serializer(salt, at).dumps(payload))

    def read(self, salt: str, token: str, *, max_age: int, now: Instant) -> Any:
        """Return the payload.

        Parameters:
            max_age: seconds.

        Raises:
            TokenExpired, TokenInvalid
        """
        try:
            return self._serializer(salt, now).loads(token, max_age=max_age)
        except SignatureExpired:
            raise TokenExpired(salt) from None
        except (BadData, ValueError):
            raise TokenInvalid(salt) from None


ASSERTION_SECONDS: Final = 600
# RFC 9864 renames the algorithm to Ed25519; verifiers in the field read EdDSA, and so does our contract.
warnings.filterwarnings("ignore", message="EdDSA is deprecated", module="joserfc")


class Assertions:
    """Short JWTs (RFC 9068 type, EdDSA) that another service checks offline with our JWKS."""

    def __init__(self, keyring: Keyring, issuer: str) -> None:
        self._keyring, self._issuer = keyring, issuer

    def _private(self, key: Key) -> OKPKey:
        def make() -> OKPKey:
            from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

            raw = Ed25519PrivateKey.from_private_bytes(key.secret[:32])
            public = raw.public_key().public_bytes_raw()
            return OKPKey.import_key(
                {
                    "kty": "OKP",
                    "crv": "Ed25519",
                    "d": _b64url(key.secret[:32]),
                    "x": _b64url(public),
                    "kid": key.id,
                    "alg": "EdDSA",
                    "use": "sig",
                }
            )

        return self._keyring.derived(key, "okp", make)

    def issue(self, *, member_id: str, audience: str, purpose: str, jti: str, now: Instant) -> str:
        """Return a signed JWT: `iss`, `aud` the client, `sub` the member, `purpose`, ten minutes."""
        key = self._keyring.current(Purpose.ASSERTION)
        at = now // SECOND
        claims = {
            "iss": self._issuer,
            "aud": audience,
            "sub": member_id,
            "purpose": purpose,
            "iat": at,
            "exp": at + ASSERTION_SECONDS,
            "jti": jti,
        }
        header = {"alg": "EdDSA", "typ": "at+jwt", "kid": key.id}
        return jwt.encode(header, claims, self._private(key), algorithms=["EdDSA"])

    def jwks(self) -> dict[str, Any]:
        """Return the public keys, those of a coming and a past rotation included (RFC 7517)."""
        keys: list[Any] = [self._private(key) for key in self._keyring.live(Purpose.ASSERTION)]
        return dict(KeySet(keys).as_dict(private=False))


def _b64url(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
