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
    """One stable code: its status, its title, and what the docs say about it (what to do, where it helps)."""

    status: int
    title: str
    meaning: str


_EARNED: Final = (
    "It gates invites that were earned, not granted ones. `rule`, `value`, `threshold` and `earliest_at` "
    "stand in the document; invite-eligibility tells every rule."
)
_CONDITIONS: Final = (
    ("member_too_new", "The member joined too recently", "`earliest_at` says when waiting meets it."),
    ("trust_too_low", "The member's trust is too low", "The member's trust tells what adds up to it."),
    ("conduct_too_low", "The member's invitees speak against it", "Log-odds of inviting cleanly."),
    ("standing_too_low", "The member's standing is too low", "The score with the inviter left out."),
    ("inviting_restricted", "The member is restricted", "Its standing is far too low."),
    ("inviter_trust_too_low", "The member's inviter vouches too little", "What the inviter adds."),
    ("phone_unverified", "The member's phone is not verified", "Verify it."),
    ("phone_kind_unfit", "The member's phone is of another kind", "See the rule's threshold."),
    ("member_inactive", "The member was not seen for long", "It ends when the member shows up."),
    ("too_few_invitees", "Too few of the member's invitees joined", "See the rule's value."),
    ("invitees_banned", "Too many of the member's invitees were banned", "The share is shrunk."),
    ("invites_misused", "The member was found to misuse invites", "See the member's standing."),
    ("too_many_open_invites", "Too many of the member's invites are open", "Revoke some, or wait."),
)
EARNED_CODES: Final = tuple(code for code, _, _ in _CONDITIONS)
"""The refusals of those who have invites left, but earned ones, and not the conditions to give them."""

KINDS: Final[dict[str, Kind]] = {
    # The request itself
    "json_malformed": Kind(
        400,
        "The body is not valid JSON",
        "The body is no JSON text in UTF-8. Send what a JSON library writes.",
    ),
    "json_duplicate_key": Kind(
        400,
        "A JSON object names a key twice",
        "Two readers could understand two different things, so neither is done. Name each key once.",
    ),
    "json_not_a_number": Kind(
        400,
        "A JSON number is not finite",
        "`NaN`, `Infinity` and numbers too large to hold are not JSON numbers.",
    ),
    "json_nul": Kind(
        400,
        "A string holds a character that cannot be stored",
        "A string or a key holds NUL or half of a surrogate pair.",
    ),
    "json_too_deep": Kind(
        400,
        "The JSON is nested too deeply",
        "At most 32 levels of objects and arrays are read.",
    ),
    "bad_request": Kind(
        400,
        "The request cannot be read",
        "A body where none belongs, or a request that HTTP itself does not allow.",
    ),
    "query_parameter_unknown": Kind(
        400,
        "There is no such query parameter",
        "This call has no such parameter. A misspelled filter must not silently list everything.",
    ),
    "query_parameter_invalid": Kind(
        400,
        "A query parameter is invalid",
        "Out of range, of another type, or given twice; `errors` says which.",
    ),
    "cursor_invalid": Kind(
        400,
        "The cursor is invalid",
        "Take cursors as they are from `next_cursor`, and use them on the list that they came from.",
    ),
    "header_invalid": Kind(
        400,
        "A header is invalid",
        "An `Idempotency-Key` is 1 to 255 printable ASCII characters and begins with no blank.",
    ),
    "unauthenticated": Kind(
        401,
        "A valid API key is needed",
        "There is no `Authorization: Bearer KEY`, or the key is unknown, expired or revoked.",
    ),
    "scope_missing": Kind(
        403,
        "The API key lacks a scope",
        "The key is good but lacks the scope in `scope`. Ask an operator for a client that has it.",
    ),
    "not_found": Kind(
        404,
        "Not found",
        "There is no such thing, or it belongs to another client: the two look the same.",
    ),
    "method_not_allowed": Kind(
        405,
        "The method is not allowed here",
        "`Allow` lists the methods of this path.",
    ),
    "body_too_large": Kind(
        413,
        "The body is too large",
        "At most 65,536 bytes are read.",
    ),
    "content_type_unsupported": Kind(
        415,
        "The content type is not supported",
        "Bodies are `application/json`.",
    ),
    "validation_failed": Kind(
        422,
        "The input is invalid",
        "`errors` points at each wrong field with a JSON pointer and a code of its own.",
    ),
    "phone_invalid": Kind(
        422,
        "The phone number cannot be used",
        "Not E.164, not assigned, or a kind that nothing is sent to; `errors` says which. Waiting "
        "will not help.",
    ),
    # Idempotency
    "idempotency_key_reused": Kind(
        422,
        "The Idempotency-Key was used for something else",
        "The same `Idempotency-Key` came with another path or body within 24 hours. Make a new key "
        "for a new task.",
    ),
    "idempotency_in_flight": Kind(
        409,
        "The first call with this key is still running",
        "Repeat this call in a moment: it will answer as the first one did.",
    ),
    # Invites and quota
    "invite_not_redeemable": Kind(
        422,
        "The invite code cannot be redeemed",
        "Wrong, unknown, expired, revoked, held and used-up codes look the same. Only a typing error "
        "that the check symbol shows is told: `errors[].code` is `typo`.",
    ),
    "invite_not_open": Kind(
        409,
        "The invite is over",
        "It was redeemed or revoked, or it has expired.",
    ),
    "invite_not_sms": Kind(
        409,
        "The invite is not one by SMS",
        "Only an invite by SMS can be sent again; a link can be shared again as it is.",
    ),
    "issuer_not_active": Kind(
        409,
        "The member may not invite",
        "The inviter is suspended, banned or erased. See the member's standing.",
    ),
    "invites_frozen": Kind(
        409,
        "The member's right to invite is frozen",
        "A sanction froze the right to invite. The member's standing has its reason and end.",
    ),
    "quota_exhausted": Kind(
        409,
        "The member has not enough invites left",
        "The balance is smaller than `max_uses`. See the member's quota and invite-eligibility.",
    ),
    **{code: Kind(409, title, f"{meaning} {_EARNED}") for code, title, meaning in _CONDITIONS},
    "miss_budget_spent": Kind(
        429,
        "Too many unknown invite codes",
        "This client asked for too many codes that do not exist; `Retry-After` says when to go on.",
    ),
    # Messages and verification
    "send_cooldown": Kind(
        429,
        "The next message to this phone must wait",
        "Messages to one phone keep a distance, which doubles while nothing is confirmed.",
    ),
    "send_budget_spent": Kind(
        429,
        "The phone's messages of the day are spent",
        "When a day's messages are spent a trickle stays; `Retry-After` says when the next may go.",
    ),
    "member_send_budget_spent": Kind(
        429,
        "The member's messages of the day are spent",
        "Sending costs, and no revocation gives it back. Links cost nothing.",
    ),
    "spend_cap_reached": Kind(
        429,
        "As much as may be was spent on messages",
        "A cap in money is reached, for `scope`. Only invites and registrations are refused; logins and "
        "recoveries go on. `Retry-After` says when there is room again.",
    ),
    "ip_budget_spent": Kind(
        429,
        "Too many verifications from one address",
        "Counted only where the call names a `client_ip`.",
    ),
    "send_blocked": Kind(
        429,
        "Messages like this one are not sent at present",
        "Codes sent to such numbers, or by such inviters, did not come back lately. `Retry-After` says when "
        "it may be tried again. A known `device_token` and recovery codes still work.",
    ),
    "guess_budget_spent": Kind(
        429,
        "Too many wrong codes for this phone",
        "Counted over all verifications of the phone. A known device has a budget of its own, and "
        "recovery codes need none.",
    ),
    "proof_of_work_required": Kind(
        403,
        "A proof of work is needed",
        "Codes are being guessed wrong everywhere, or too few come back from numbers like this one. "
        "Solve `challenge` and send it as `altcha`; a known `device_token` is never asked.",
    ),
    "code_incorrect": Kind(
        422,
        "The code is wrong",
        "`attempts_left` says how many guesses this verification has left.",
    ),
    "verification_over": Kind(
        409,
        "The verification is over",
        "Approved, expired or exhausted, as `state` says. Start a new one.",
    ),
    "proof_invalid": Kind(
        422,
        "The proof is invalid",
        "Not a proof of ours, or one for another purpose, client or phone.",
    ),
    "proof_expired": Kind(
        422,
        "The proof is too old",
        "A proof lives for ten minutes. Verify the phone again.",
    ),
    "proof_consumed": Kind(
        409,
        "The proof was used",
        "A proof is good for one use. Verify the phone again.",
    ),
    "proof_required": Kind(
        422,
        "A proof is needed",
        "This code did not go to this phone by SMS in the last 72 hours, so it proves nothing by "
        "itself. Verify the phone.",
    ),
    # Members
    "phone_taken": Kind(
        409,
        "The phone is a member's",
        "There is one active member a phone. Offer its owner a login or a recovery.",
    ),
    "external_id_taken": Kind(
        409,
        "The external id is a member's",
        "Another member has this `external_id` already.",
    ),
    "member_erased": Kind(
        409,
        "The member was erased",
        "All that is left of an erased member is its place in the tree.",
    ),
    "member_suspended": Kind(
        403,
        "The member is suspended",
        "A sanction stands before this. See the member's standing.",
    ),
    "member_banned": Kind(
        403,
        "The member is banned",
        "A sanction stands before this. See the member's standing.",
    ),
    "recovery_required": Kind(
        409,
        "The member must be recovered first",
        "The member was away for so long that the number may have a new owner, or is being recovered.",
    ),
    "recovery_over": Kind(
        409,
        "The recovery is over",
        "Granted, vetoed or expired, as `state` says.",
    ),
    "recovery_code_incorrect": Kind(
        422,
        "The recovery code is wrong",
        "None of the member's unused recovery codes. Each works once.",
    ),
    "recovery_held_elsewhere": Kind(
        409,
        "Another service is recovering this member",
        "`Retry-After` says when its hold is over.",
    ),
    # Receipts
    "receipt_forged": Kind(
        403,
        "The signature does not fit",
        "The provider did not sign this report for the configured public URL.",
    ),
    "receipt_malformed": Kind(
        400,
        "The report cannot be read",
        "The provider signed it, but it names no message or no state that we know.",
    ),
    "receipt_unsupported": Kind(
        404,
        "This provider sends no reports",
        "The provider that is configured sends no such reports.",
    ),
    # The service
    "internal": Kind(
        500,
        "Something went wrong on our side",
        "Nothing was changed. The error was logged under the `request_id`: report that.",
    ),
    "store_unavailable": Kind(
        503,
        "The store cannot be reached",
        "Nothing was changed. Repeat the call after `Retry-After`.",
    ),
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
