"""Look for secrets in whatever the service keeps or says, in clear and in the usual encodings.

A *canary* is a value that must stand nowhere: a phone number, a code, a key, a token.  It is looked for as
text, and as hex and base64 of that text; a number also without its plus, without its country code, and as a
stored integer.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from sqlalchemy import select, text

from identity_service.db.tables import metadata
from tests.support.world import World


@dataclass
class Canaries:
    """What must not be found.  `kind` says in a failure what it was; the value itself is not repeated."""

    texts: dict[str, str] = field(default_factory=dict)
    digits: dict[str, str] = field(default_factory=dict)
    """Short one-time codes: looked for as whole runs of digits, or a time in microseconds would match."""

    def add(self, kind: str, *values: str) -> None:
        for value in values:
            assert len(value) >= 8, f"{kind} is too short to be looked for"
            self.texts[value] = kind

    def add_phone(self, e164: str, national: str) -> None:
        self.add("phone", e164, e164.removeprefix("+"), national)

    def add_otp(self, code: str) -> None:
        assert re.fullmatch(r"\d{6}|\d{8}", code)
        self.digits[code] = "one-time code"

    def add_dashed(self, kind: str, code: str) -> None:
        bare = code.replace("-", "")
        self.add(kind, code, code.lower(), code.upper(), bare, bare.lower(), bare.upper())

    def add_token(self, kind: str, token: str) -> None:
        """A signed token: the whole, and its signature alone, which is what makes it worth something."""
        self.add(kind, token, token.rpartition(".")[2])

    def needles(self) -> Iterator[tuple[str, re.Pattern[bytes]]]:
        for value, kind in self.texts.items():
            for how, form in _forms(value):
                yield f"{kind} ({how})", re.compile(re.escape(form))
        for code, kind in self.digits.items():
            yield f"{kind} (clear)", re.compile(rb"(?<![0-9])" + code.encode() + rb"(?![0-9])")
            for how, form in _forms(code):
                if how != "clear":
                    yield f"{kind} ({how})", re.compile(re.escape(form))


def _forms(value: str) -> Iterator[tuple[str, bytes]]:
    raw = value.encode()
    yield "clear", raw
    yield "hex", raw.hex().encode()
    yield "HEX", raw.hex().upper().encode()
    yield "UTF-16", value.encode("utf-16-le")
    for shift in range(3):  # where in a longer text it stands decides how base64 writes it
        for alphabet, encode in (("base64", base64.b64encode), ("base64url", base64.urlsafe_b64encode)):
            whole = encode(bytes(shift) + raw + bytes(-(shift + len(raw)) % 3))
            start = -(-shift * 8 // 6)
            end = (shift + len(raw)) * 8 // 6
            yield alphabet, whole[start:end]
    if value.isdigit() and len(value) >= 10:
        yield "integer", int(value).to_bytes(8)[2:]


def found(canaries: Canaries, haystacks: Mapping[str, bytes]) -> list[str]:
    """Return what was found where; empty is good."""
    needles = list(canaries.needles())
    return sorted(
        f"{what} in {where}"
        for where, hay in haystacks.items()
        for what, needle in needles
        if needle.search(hay)
    )


# -- what there is to look at -------------------------------------------------------------------------------


def tables(world: World) -> dict[str, bytes]:
    """Every column of every table, its values as bytes and as text, one haystack a column."""
    hay: dict[str, list[bytes]] = {}
    for table in metadata.sorted_tables:
        for row in world.query(lambda tx, t=table: tx.select(select(t))):
            for name, value in row._mapping.items():
                hay.setdefault(f"{table.name}.{name}", []).extend(_spelled(value))
    assert len({name.partition(".")[0] for name in hay}) > 10, "the journey left tables empty"
    return {name: b"\n".join(parts) for name, parts in hay.items()}


def _spelled(value: object) -> Iterable[bytes]:
    match value:
        case bytes() | memoryview():
            raw = bytes(value)
            return (raw, raw.hex().encode(), base64.b64encode(raw))
        case _:
            return (str(value).encode(),)


def raw_store(world: World) -> dict[str, bytes]:
    """What a thief of the store would have: SQLite's files byte by byte, or a dump of PostgreSQL's rows."""
    if world.store == "sqlite":
        files = [
            path for path in Path("var").rglob("*") if path.is_file() and not path.name.startswith("inbox.")
        ]
        assert any(path.name == "identity.sqlite3" for path in files)
        return {str(path): path.read_bytes() for path in files}
    dump: dict[str, bytes] = {}
    with world.services.store.engine.connect() as connection:
        names = connection.execute(
            text("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
        ).scalars()
        for name in list(names):
            rows = connection.execute(text(f'SELECT row_to_json(t)::text FROM "{name}" t')).scalars()
            dump[f"dump of {name}"] = "\n".join(rows).encode()
    assert len(dump) > 15
    return dump
