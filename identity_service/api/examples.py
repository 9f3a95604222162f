"""One example of each answer, for the description and the docs.  A test holds them against the models."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from pydantic import BaseModel

from identity_service.api import guard_schemas, problems, render
from identity_service.api import message_schemas as ms
from identity_service.api import policy_schemas as ps
from identity_service.api import report_schemas as rs
from identity_service.api import schemas as s
from identity_service.api import trust_schemas as ts

REQUEST_ID: Final = "req_5f0c2a9e7d41b86033aa91ce"
_MEMBER: Final = "mem_01k0tf55mn9s0j7qdpmwvwrxj2a3"
_INVITER: Final = "mem_01k0sq81va7d3kx0c9t2m5hw4yzn"
_INVITE: Final = "inv_01k0te9q6bxv2m4d8s1c7hwj0kyp"
_CODE: Final = "NNN59-H3QXJE-ZWPX7-P683B7-65K3T"
_PROOF: Final = "eyJ2IjoidmVyXzAxazB0ZjU1bW4iLCJwIjoicmVnaXN0cmF0aW9uIn0.aSGmEA.Zq3x0bX1rWm8"
_DEVICE: Final = "dev_9f3c1b7a5d2e8f40617c9b3da5e8f2046c1d7b9e"
_ASSERTION: Final = "eyJhbGciOiJFZERTQSIsImtpZCI6ImExIiwidHlwIjoiYXQrand0In0.eyJzdWIiOiJtZW1fMDFrMHRmIn0.c2ln"

_INVITE_OUT: Final[dict[str, Any]] = {
    "id": _INVITE,
    "state": "open",
    "issuer_id": _INVITER,
    "campaign": None,
    "channel": "link",
    "phone": None,
    "max_uses": 1,
    "uses": 0,
    "expires_at": "2026-12-22T12:00:00.000Z",
    "created_at": "2026-11-22T12:00:00.000Z",
    "opened_at": None,
    "locale": "ru",
    "note": "for Ann",
    "delivery": {"state": "none", "reason": None, "updated_at": None},
}
_SENT_INVITE: Final[dict[str, Any]] = _INVITE_OUT | {
    "channel": "sms",
    "phone": "+7*********67",
    "delivery": {"state": "delivered", "reason": None, "updated_at": "2026-11-22T12:00:04.210Z"},
}
_VERIFICATION: Final[dict[str, Any]] = {
    "id": "ver_01k0tf2w3h8r5ydm0q9x7c6bz4jk",
    "purpose": "registration",
    "phone": {"masked": "+7*********67", "country": "RU"},
    "state": "pending",
    "channel": "sms",
    "code_length": 6,
    "expires_at": "2026-11-22T12:10:00.000Z",
    "attempts_left": 5,
    "next": {
        "resend_at": "2026-11-22T12:00:30.000Z",
        "channel": "sms",
        "check_at": "2026-11-22T12:00:00.000Z",
    },
}
_REPORT_DEFINITION: Final[dict[str, Any]] = {
    "name": "tree",
    "title": "Tree",
    "question": "What shape does the network have?",
    "metrics": [
        {
            "name": "generations",
            "title": "Generations",
            "formula": "members by their steps from the seed or campaign",
            "denominator": "none: a count",
            "source": "members: inviter",
        }
    ],
}
_MEMBER_OUT: Final[dict[str, Any]] = {
    "id": _MEMBER,
    "external_id": "user-4711",
    "state": "active",
    "inviter_id": _INVITER,
    "invite_id": _INVITE,
    "campaign": None,
    "generation": 3,
    "joined_at": "2026-11-22T12:01:12.500Z",
    "country": "RU",
    "phone": {
        "masked": "+7*********67",
        "country": "RU",
        "type": "mobile",
        "verified_at": "2026-11-22T12:01:12.500Z",
    },
    "trust": {"score": 0.62, "level": "new"},
    "quota": {"available": 0},
}
_RECOVERY: Final[dict[str, Any]] = {
    "id": "rec_01k0tg7n2c5v8x1m4q6w9y3b0dhk",
    "member_id": _MEMBER,
    "state": "held",
    "reason": "dormant",
    "requires": ["recovery_code_or_wait"],
    "created_at": "2026-11-22T12:00:00.000Z",
    "release_at": "2026-11-25T12:00:00.000Z",
    "granted_at": None,
}
_GRANTED: Final[dict[str, Any]] = _RECOVERY | {
    "state": "granted",
    "requires": [],
    "granted_at": "2026-11-22T12:05:00.000Z",
    "assertion": _ASSERTION,
}
_DECISION: Final = {
    "id": "gdn_01k0tm4c2p6r8t0w2y4a6c8e0g2j",
    "unit": "prefix",
    "name": "+7916123",
    "country": "RU",
    "answer": "block",
    "grade": 1,
    "state": "in_force",
    "actor": "guard",
    "at": "2026-11-22T09:30:00.000Z",
    "until": "2026-11-22T10:30:00.000Z",
    "ended_at": None,
    "end_actor": None,
    "end_reason": None,
    "reasons": [
        {
            "signal": "never_seen",
            "unit": "prefix",
            "value": 6.0,
            "threshold": 6.0,
            "answer": "block",
            "detail": "6 messages are under way where 0 have answered",
        }
    ],
}
_SANCTION: Final[dict[str, Any]] = {
    "id": "san_01k0th4m6p8s0v2x4z6b8d0f2h4k",
    "member_id": _MEMBER,
    "action": "freeze_invites",
    "scope": "member",
    "reason_code": "spam",
    "explanation": "Ten strangers reported your invites.",
    "state": "in_force",
    "created_at": "2026-11-22T12:00:00.000Z",
    "expires_at": "2026-12-22T12:00:00.000Z",
    "lifted_at": None,
    "lift_explanation": None,
}
_ENTRY: Final[dict[str, Any]] = {
    "id": "qle_01k0tj3n5q7s9v1x3z5b7d9f1h3m",
    "kind": "grant",
    "amount": 5,
    "invite_id": None,
    "batch_id": "spring-2027",
    "actor": "anna",
    "reason": "spring round",
    "created_at": "2026-11-22T12:00:00.000Z",
    "expires_at": None,
}
_EVENT: Final[dict[str, Any]] = {
    "id": "evt_01k0tf55mq2w4e6r8t0y1s3d5g7h",
    "seq": 42,
    "type": "member.joined",
    "occurred_at": "2026-11-22T12:01:12.500Z",
    "subject_id": _MEMBER,
    "data": {
        "member_id": _MEMBER,
        "inviter_id": _INVITER,
        "invite_id": _INVITE,
        "campaign": None,
        "generation": 3,
    },
}

_MESSAGES: Final[dict[str, Any]] = {
    "data": [
        {
            "id": "msg_01k0te9q6c4m8w2x5z7b9d1f3h5j",
            "kind": "invite",
            "channel": "sms",
            "state": "delivered",
            "reason": None,
            "segments": 1,
            "created_at": "2026-11-22T12:00:00.000Z",
            "updated_at": "2026-11-22T12:00:04.210Z",
            "timeline": [
                {
                    "at": at,
                    "what": what,
                    "words": words,
                    "attempt": attempt,
                    "provider": attempt and "twilio",
                    "confirmed_by": by,
                }
                for at, what, words, attempt, by in (
                    ("2026-11-22T12:00:00.000Z", "queued", "It waits to be sent.", None, None),
                    ("2026-11-22T12:00:00.420Z", "accepted", "A provider took it.", 1, None),
                    ("2026-11-22T12:00:04.210Z", "delivered", "It reached the phone.", 1, "phone"),
                )
            ],
        }
    ],
    "next": {
        "step": "resend",
        "at": "2026-11-22T12:00:30.000Z",
        "words": "If it does not come, send it again then.",
    },
}
_TRIED: Final[dict[str, Any]] = {"failure": None, "provider_code": None, "why": None, "took_ms": None}
_OPERATORS_MESSAGE: Final[dict[str, Any]] = _MESSAGES["data"][0] | {
    "subject_id": "inv_01k0te9q6bxv2m4d8s1c7hwj0kyp",
    "phone": {"masked": "+7*********67", "country": "RU"},
    "provider": "twilio",
    "attempts": 1,
    "cost": 0.4,
    "charged": 0.38,
    "came_back_at": None,
    "timeline": [
        entry | _TRIED | ({"why": "first_in_route", "took_ms": 380} if entry["what"] == "accepted" else {})
        for entry in _MESSAGES["data"][0]["timeline"]
    ],
}


def _page(item: dict[str, Any]) -> dict[str, Any]:
    return {"data": [item], "next_cursor": None, "has_more": False}


def _rule(rule: str, value: Any, threshold: Any, *, code: str, **members: Any) -> dict[str, Any]:
    """Return an example of a rule; one that waiting will meet is not met yet."""
    return {
        "rule": rule,
        "value": value,
        "threshold": threshold,
        "passed": "earliest_at" not in members,
        "earliest_at": None,
        "gates": "earned",
        "code": code,
        "detail": "What the rule asks for, in words.",
    } | members


def problem(code: str, **members: Any) -> dict[str, Any]:
    """Return an example of the problem document of a stable code."""
    kind = problems.KINDS[code]
    return {
        "type": f"{problems.TYPE_BASE}{code}",
        "title": kind.title,
        "status": kind.status,
        "detail": f"{kind.title}.",
        "code": code,
        "request_id": REQUEST_ID,
    } | members


_OF_MODEL: Final[Mapping[type[BaseModel], dict[str, Any]]] = {
    s.InviteOut: _INVITE_OUT,
    s.InviteLookupOut: {"redeemable": True, "channel": "link", "phone_required": False},
    s.BulkInvitesOut: {
        "data": [
            {"index": 0, "status": 201, "invite": _INVITE_OUT | {"code": _CODE}},
            {"index": 1, "status": 409, "problem": problem("quota_exhausted")},
        ]
    },
    s.VerificationOut: _VERIFICATION,
    ms.MessagesOut: _MESSAGES,
    ms.OperatorsMessageOut: _OPERATORS_MESSAGE,
    s.MemberOut: _MEMBER_OUT,
    s.RegisteredOut: {
        "member": _MEMBER_OUT,
        "assertion": _ASSERTION,
        "device_token": _DEVICE,
        "recovery_codes": ["k7q4-m2xd-9pta-3hrv", "w8c1-z5bn-0yjg-6tdm"],
    },
    s.LoginOut: {"member": _MEMBER_OUT, "assertion": _ASSERTION, "device_token": _DEVICE},
    s.RecoveryOut: _RECOVERY,
    s.TreeSummaryOut: {
        "invitees": 3,
        "descendants": 41,
        "depth": 5,
        "states": {"active": 39, "suspended": 1, "banned": 1, "erased": 0},
    },
    s.EligibilityOut: {
        "allowed": False,
        "available": 1,
        "granted": 0,
        "earned": 1,
        "may_give_earned": False,
        "level": "new",
        "policy_version": "2026-11-1",
        "rules": [
            _rule("member_active", "active", "active", gates="all", code="issuer_not_active"),
            _rule("quota_available", 1, 1, gates="all", code="quota_exhausted"),
            _rule("age", 12.5, 30.0, code="member_too_new", earliest_at="2026-12-22T12:01:12.500Z"),
            _rule("log_odds", 2.06, 0.8, code="trust_too_low"),
        ],
        "next_grant_at": "2026-12-22T12:01:12.500Z",
    },
    ps.PolicyOut: {
        "version": "2026-11-1",
        "sha256": "9c3f0d6b5e2a8471c0d9e8f7a6b5c4d3e2f1a0b9c8d7e6f5a4b3c2d1e0f9a8b7",
        "source": "database",
        "in_force_from": "2026-11-22T12:00:00.000Z",
        "rules": {"invites": {"member_max_uses": 100, "hold": "30m"}},
        "announced": [
            {
                "version": "2026-12-1",
                "sha256": "1a2b3c4d5e6f708192a3b4c5d6e7f8091a2b3c4d5e6f708192a3b4c5d6e7f809",
                "announced_at": "2026-11-24T09:00:00.000Z",
                "in_force_from": "2026-12-01T00:00:00.000Z",
                "changes": [{"rule": "invites.member_max_uses", "before": "100", "after": "50"}],
            }
        ],
    },
    rs.ReportListOut: {"data": [_REPORT_DEFINITION]},
    rs.ReportOut: _REPORT_DEFINITION
    | {
        "as_of": "2026-11-22T12:00:00.000Z",
        "n": 16,
        "of": "members joined",
        "maturing": True,
        "notes": ["Members of the last 30 days may still invite."],
        "parameters": {"cohort": "week", "country": "SE"},
        "tables": [
            {
                "name": "generations",
                "title": "Members by generation",
                "chart": {"kind": "bar", "x": "generation", "y": ["members"]},
                "columns": [
                    {"name": "generation", "title": "Generation", "unit": "count"},
                    {"name": "members", "title": "Members", "unit": "count"},
                ],
                "rows": [[0, 4], [1, 12]],
            }
        ],
    },
    rs.ReportPreparingOut: {
        "state": "preparing",
        "progress": 0.4,
        "retry_at": "2026-11-22T12:00:01.000Z",
    },
    s.QuotaOut: {"available": 4, "granted": 5, "spent": 2, "refunded": 1, "expired": 0},
    s.QuotaGrantsOut: {
        "batch_id": "spring-2027",
        "dry_run": False,
        "data": [{"member_id": _MEMBER, "result": "granted", "amount": 5, "available": 5, "code": None}],
    },
    s.SignalOut: {"id": "sig_01k0tk2m4p6r8t0w2y4a6c8e0g2j", "duplicate": False},
    s.SanctionOut: _SANCTION,
    s.SanctionPreviewOut: {
        "dry_run": True,
        "member_id": _MEMBER,
        "state_now": "active",
        "state_after": "active",
        "invites_frozen_after": True,
        "open_invites_stopped": 2,
    },
    s.StandingOut: {"member_id": _MEMBER, "state": "active", "sanctions": [_SANCTION]},
    ts.TrustExplainedOut: {
        "score": 0.8698915256370021,
        "level": "member",
        "as_of_event": "evt_01k0tj3q7s9v1x4z6b8d0f2h4k5m",
        "log_odds": 1.9,
        "conduct": 1.42,
        "standing": -0.51,
        "published": True,
        "explanation": [
            {
                "source": "inviter",
                "member_id": _INVITER,
                "kind": None,
                "log_odds": 2.31,
                "detail": "how well the inviter stands and invites",
            },
            {
                "source": "evidence",
                "member_id": None,
                "kind": "phone_mobile",
                "log_odds": 0.1,
                "detail": "a mobile number",
            },
            {
                "source": "invitee",
                "member_id": "mem_01k0v2c8x5m7q9w1r3t5y7b9d1f3",
                "kind": None,
                "log_odds": -0.51,
                "detail": "how this invitee, and those it invited, turned out",
            },
        ],
        "would_help": [
            {
                "action": "vouch",
                "member_id": None,
                "log_odds_gain": 0.25,
                "conduct_gain": 0.19,
                "log_odds": 2.15,
                "detail": "a vouch from a member of another branch of the tree",
            }
        ],
    },
    render.InvitePageOut: _page(_INVITE_OUT),
    render.MemberPageOut: _page(_MEMBER_OUT),
    render.QuotaEntryPageOut: _page(_ENTRY),
    render.SanctionPageOut: _page(_SANCTION),
    guard_schemas.DecisionOut: _DECISION,
    guard_schemas.DecisionPageOut: _page(_DECISION),
    render.EventPageOut: {"data": [_EVENT], "next_cursor": "42", "has_more": False},
}
# Where one call's answer says more, or other things, than its model's example.
_OF_OPERATION: Final[Mapping[tuple[str, int], dict[str, Any]]] = {
    ("issue_invite", 201): _INVITE_OUT
    | {"code": _CODE, "link": f"https://id.example.org/i/{_CODE.replace('-', '')}"},
    ("resend_invite", 200): _SENT_INVITE,
    ("revoke_invite", 200): _INVITE_OUT | {"state": "revoked"},
    ("check_verification", 200): _VERIFICATION
    | {
        "state": "approved",
        "attempts_left": 0,
        "next": {"resend_at": None, "channel": None, "check_at": None},
        "proof": _PROOF,
    },
    ("give_recovery_code", 200): _GRANTED,
    ("veto_recovery", 200): _RECOVERY | {"state": "vetoed", "requires": []},
    ("list_subtree", 200): _page(_MEMBER_OUT | {"depth": 1}),
    ("lift_sanction", 200): _SANCTION
    | {
        "state": "lifted",
        "lifted_at": "2026-11-23T09:30:00.000Z",
        "lift_explanation": "The reports were false.",
    },
}
# What a problem document says beyond its fixed members.
_OF_PROBLEM: Final[Mapping[str, dict[str, Any]]] = {
    "validation_failed": {
        "errors": [
            {"pointer": "/max_uses", "code": "greater_than_equal", "detail": "Input should be at least 1"}
        ]
    },
    "phone_invalid": {
        "errors": [
            {
                "pointer": "/phone",
                "code": "phone_malformed",
                "detail": "a phone number is '+' and 7 to 15 ASCII digits",
            }
        ]
    },
    "invite_not_redeemable": {
        "errors": [
            {
                "pointer": "/invite_code",
                "code": "typo",
                "detail": "The check symbol does not fit: a symbol was mistyped or two were swapped.",
            }
        ]
    },
    "code_incorrect": {"attempts_left": 3},
    "spend_cap_reached": {"scope": "country"},
    "scope_missing": {"scope": "invites:write"},
    "verification_over": {"state": "expired"},
    "recovery_over": {"state": "vetoed"},
}


def of_answer(operation: str, status: int, model: type[BaseModel]) -> dict[str, Any]:
    """Return an example of what a call answers.

    Raises:
        KeyError: there is none yet; every answer has one.
    """
    own = _OF_OPERATION.get((operation, status))
    return _OF_MODEL[model] if own is None else own


def of_problem(code: str) -> dict[str, Any]:
    return problem(code, **_OF_PROBLEM.get(code, {}))
