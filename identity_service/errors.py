"""What a use case may refuse, in the service's own words; `api/problems.py` alone knows HTTP.

A `Refused` carries a stable `code` and data, never a rendered page.  Two flags say what happened to the
store: `keeps_effect` (a failed guess was counted: commit, then tell) and everything else (nothing happened).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from identity_service.ports import Instant


@dataclass(frozen=True, kw_only=True)
class FieldError:
    """One thing wrong with one part of the input.  `pointer` is an RFC 6901 JSON pointer."""

    pointer: str
    code: str
    detail: str


class Refused(Exception):
    """A rule said no.  `code` is one of `api/problems.py`'s table; `data` joins the problem document.

    Parameters:
        code: stable, machine-readable.
        detail: one sentence for the engineer who reads it.
        errors: which parts of the input, where it was the input.
        retry_at: when the same call may succeed; None where waiting will not help.
        keeps_effect: the transaction is committed all the same, because the refusal itself had an effect
            (an attempt counted, a hold released).
        limits: the (times, seconds) of the budget that is spent, where one is.
        data: further members of the problem document.
    """

    def __init__(
        self,
        code: str,
        detail: str,
        *,
        errors: Sequence[FieldError] = (),
        retry_at: Instant | None = None,
        keeps_effect: bool = False,
        limits: tuple[tuple[int, int], ...] = (),
        **data: Any,
    ) -> None:
        super().__init__(f"{code}: {detail}")
        self.code, self.detail, self.errors = code, detail, tuple(errors)
        self.retry_at, self.keeps_effect, self.limits, self.data = retry_at, keeps_effect, limits, data


def not_found(what: str) -> Refused:
    return Refused("not_found", f"There is no such {what}, or it is not yours.")


def invalid(pointer: str, code: str, detail: str) -> Refused:
    """One field is wrong in a way that only a use case could see."""
    return Refused(
        "validation_failed", detail, errors=(FieldError(pointer=pointer, code=code, detail=detail),)
    )


class Unavailable(Exception):
    """The store or a provider cannot be reached; nothing was lost and the call may be repeated."""


class Misconfigured(Exception):
    """The settings are unsafe or make no sense; each of `faults` says which setting to change."""

    def __init__(self, *faults: str) -> None:
        super().__init__("; ".join(faults))
        self.faults = faults


@dataclass(frozen=True, kw_only=True)
class Actor:
    """Who acts: written into the journal with everything that is done.

    `kind` is client (over REST), operator (command line), member, or system (the worker).
    """

    kind: str
    name: str
    client_id: str | None = None
    request_id: str | None = None


SYSTEM = Actor(kind="system", name="worker")
