"""The one table from the service's refusals to HTTP (RFC 9457 `application/problem+json`)."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

from identity_service.errors import FieldError, Refused
from identity_service.ports import SECOND, Instant

CONTENT_TYPE: Final = "application/problem+json"
TYPE_BASE: Final = "/docs#"


@dataclass(frozen=True, slots=True)
class Kind:
    status: int
    title: str


KINDS: Final[dict[str, Kind]] = {
    # The request itself
    "json_malformed": Kind(400, "The body is not valid JSON"),
    "json_duplicate_key": Kind(400, "A JSON object names a key twice"),
    "json_not_a_number": Kind(400, "A JSON number is not finite"),
    "json_nul": Kind(400, "A string holds a character that cannot be stored"),
    "json_too_deep": Kind(400, "The JSON is nested too deeply"),
    "bad_request": Kind(400, "The request cannot be read"),
    "query_parameter_unknown": Kind(400, "There is no such query parameter"),
    "query_parameter_invalid": Kind(400, "A query parameter is invalid"),
    "cursor_invalid": Kind(400, "The cursor is invalid"),
    "header_invalid": Kind(400, "A header is invalid"),
    "unauthenticated": Kind(401, "A valid API key is needed"),
    "scope_missing": Kind(403, "The API key lacks a scope"),
    "not_found": Kind(404, "Not found"),
    "method_not_allowed": Kind(405, "The method is not allowed here"),
    "body_too_large": Kind(413, "The body is too large"),
    "content_type_unsupported": Kind(415, "The content type is not supported"),
    "validation_failed": Kind(422, "The input is invalid"),
    "phone_invalid": Kind(422, "The phone number cannot be used"),
    # Idempotency
    "idempotency_key_reused": Kind(422, "The Idempotency-Key was used for something else"),
    "idempotency_in_flight": Kind(409, "The first call with this key is still running"),
    # Invites and quota
    "invite_not_redeemable": Kind(422, "The invite code cannot be redeemed"),
    "invite_not_open": Kind(409, "The invite is over"),
    "invite_not_sms": Kind(409, "The invite is not one by SMS"),
    "issuer_not_active": Kind(409, "The member may not invite"),
    "invites_frozen": Kind(409, "The member's right to invite is frozen"),
    "quota_exhausted": Kind(409, "The member has not enough invites left"),
    "miss_budget_spent": Kind(429, "Too many unknown invite codes"),
    # Messages and verification
    "send_cooldown": Kind(429, "The next message to this phone must wait"),
    "send_budget_spent": Kind(429, "The phone's messages of the day are spent"),
    "member_send_budget_spent": Kind(429, "The member's messages of the day are spent"),
    "ip_budget_spent": Kind(429, "Too many verifications from one address"),
    "guess_budget_spent": Kind(429, "Too many wrong codes for this phone"),
    "proof_of_work_required": Kind(403, "A proof of work is needed"),
    "code_incorrect": Kind(422, "The code is wrong"),
    "verification_over": Kind(409, "The verification is over"),
    "proof_invalid": Kind(422, "The proof is invalid"),
    "proof_expired": Kind(422, "The proof is too old"),
    "proof_consumed": Kind(409, "The proof was used"),
    "proof_required": Kind(422, "A proof is needed"),
    # Members
    "phone_taken": Kind(409, "The phone is a member's"),
    "external_id_taken": Kind(409, "The external id is a member's"),
    "member_erased": Kind(409, "The member was erased"),
    "member_suspended": Kind(403, "The member is suspended"),
    "member_banned": Kind(403, "The member is banned"),
    "recovery_required": Kind(409, "The member must be recovered first"),
    "recovery_over": Kind(409, "The recovery is over"),
    "recovery_code_incorrect": Kind(422, "The recovery code is wrong"),
    "recovery_held_elsewhere": Kind(409, "Another service is recovering this member"),
    # Receipts
    "receipt_forged": Kind(403, "The signature does not fit"),
    "receipt_malformed": Kind(400, "The report cannot be read"),
    "receipt_unsupported": Kind(404, "This provider sends no reports"),
    # The service
    "internal": Kind(500, "Something went wrong on our side"),
    "store_unavailable": Kind(503, "The store cannot be reached"),
}


def problem(
    code: str,
    detail: str,
    request_id: str,
    *,
    errors: Iterable[FieldError] = (),
    extra: dict[str, Any] | None = None,
) -> tuple[int, str]:
    """Return (status, body) of a problem document."""
    kind = KINDS[code]
    document: dict[str, Any] = {
        "type": f"{TYPE_BASE}{code}",
        "title": kind.title,
        "status": kind.status,
        "detail": detail,
        "code": code,
        "request_id": request_id,
    }
    listed = [{"pointer": e.pointer, "code": e.code, "detail": e.detail} for e in errors]
    if listed:
        document["errors"] = listed
    return kind.status, json.dumps(document | (extra or {}))


def of_refusal(refused: Refused, request_id: str, now: Instant) -> tuple[int, dict[str, str], str]:
    """Return (status, headers, body) of what a use case refused."""
    status, body = problem(
        refused.code, refused.detail, request_id, errors=refused.errors, extra=dict(refused.data)
    )
    headers = {"Content-Type": CONTENT_TYPE}
    if status == 429 or refused.retry_at is not None:
        wait = max(1, -(-((refused.retry_at or now + SECOND) - now) // SECOND))
        headers["Retry-After"] = str(wait)
        if status == 429:
            limits = refused.limits or ((1, wait),)
            headers["RateLimit-Policy"] = ", ".join(f'"{refused.code}";q={n};w={w}' for n, w in limits)
            headers["RateLimit"] = f'"{refused.code}";r=0;t={wait}'
    return status, headers, body
