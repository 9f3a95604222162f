"""Time and chance: the two things a use case may not reach for by itself.

Both come in through constructors, so that a test can stop the clock and a reader can see what depends on
them.  Instants are integers: microseconds since 1970-01-01T00:00:00Z.  One type that both stores compare
and index alike leaves no room for a naive datetime (docs/adr/0003).
"""

from __future__ import annotations

import secrets
import threading
import time
from datetime import UTC, datetime, timedelta
from typing import Final, Protocol

Instant = int
"""Microseconds since the epoch, UTC."""

SECOND: Final = 1_000_000
MINUTE: Final = 60 * SECOND
HOUR: Final = 60 * MINUTE
DAY: Final = 24 * HOUR

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def rfc3339(at: Instant) -> str:
    """Return `at` as the API writes times: UTC, milliseconds, `Z`."""
    return (_EPOCH + timedelta(microseconds=at)).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"


def rfc3339_or_none(at: Instant | None) -> str | None:
    return None if at is None else rfc3339(at)


def instant_of(moment: datetime) -> Instant:
    """Return the instant of an aware datetime.

    Raises:
        ValueError: the datetime is naive; guessing its zone is how bugs are made.
    """
    if moment.tzinfo is None:
        raise ValueError("a time needs its zone")
    return (moment - _EPOCH) // timedelta(microseconds=1)


class Clock(Protocol):
    def now(self) -> Instant: ...


class SystemClock:
    def now(self) -> Instant:
        return time.time_ns() // 1000


class Entropy(Protocol):
    def token(self, nbytes: int) -> bytes: ...
    def below(self, bound: int) -> int: ...


class SystemEntropy:
    """The operating system's random source."""

    def token(self, nbytes: int) -> bytes:
        return secrets.token_bytes(nbytes)

    def below(self, bound: int) -> int:
        return secrets.randbelow(bound)


ID_ALPHABET: Final = "0123456789abcdefghjkmnpqrstvwxyz"
_PAIRS: Final = [a + b for a in ID_ALPHABET for b in ID_ALPHABET]
_TIME_BITS: Final = 60
_CHANCE_BITS: Final = 80
ID_TIME: Final = _TIME_BITS // 5
ID_CHANCE: Final = _CHANCE_BITS // 5
ID_LENGTH: Final = ID_TIME + ID_CHANCE
_SHIFTS: Final = range(_TIME_BITS + _CHANCE_BITS - 10, -1, -10)


class Ids:
    """Make opaque, prefixed ids that sort by creation: 60 bits of microseconds, 80 of chance, base 32.

    Within one process ids never go backwards, even when the system's clock does; between processes they
    sort as well as the clocks agree.
    """

    def __init__(self, clock: Clock, entropy: Entropy) -> None:
        self._clock, self._entropy = clock, entropy
        self._last = 0
        self._lock = threading.Lock()

    def new(self, prefix: str) -> str:
        at = self._clock.now()
        with self._lock:
            at = self._last = max(at, self._last + 1)
        return _written(prefix, at, self._entropy.token(_CHANCE_BITS // 8))

    def many(self, prefix: str, count: int) -> list[str]:
        """Return `count` ids in order, at a quarter of the cost of as many single ones."""
        at, width = self._clock.now(), _CHANCE_BITS // 8
        with self._lock:
            first = max(at, self._last + 1)
            self._last = first + count - 1 if count else self._last
        chance = self._entropy.token(width * count)
        return [_written(prefix, first + n, chance[width * n : width * (n + 1)]) for n in range(count)]


def id_floor(prefix: str, at: Instant) -> str:
    """Return what sorts before every id that was made at an instant or later, and after every earlier one."""
    return _written(prefix, max(at, 0), bytes(_CHANCE_BITS // 8))


def _written(prefix: str, at: Instant, chance: bytes) -> str:
    number = at << _CHANCE_BITS | int.from_bytes(chance)
    return f"{prefix}_{''.join([_PAIRS[number >> shift & 1023] for shift in _SHIFTS])}"


def first_id(prefix: str, at: Instant) -> str:
    """Return the least id that can be made at an instant: what a reader of later ones begins after."""
    digits = [ID_ALPHABET[max(at, 0) >> shift & 31] for shift in range(_TIME_BITS - 5, -1, -5)]
    return f"{prefix}_{''.join(digits)}".ljust(ID_LENGTH + len(prefix) + 1, "0")
