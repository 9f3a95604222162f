"""Quota: balances, entries, and grants to many."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from identity_service.api import render
from identity_service.api import schemas as s
from identity_service.api.operation import Call, Work, operation
from identity_service.api.paging import paging_of
from identity_service.db.store import Tx
from identity_service.errors import invalid
from identity_service.services.clients import Scope
from identity_service.services.grants import GrantMany
from identity_service.services.quota import Granted

MAX_TARGETS = 5_000


@operation(
    "GET",
    "/v1/members/{member_id}/quota",
    tag="Quota",
    summary="How many invites a member has",
    scope=Scope.MEMBERS_READ,
    answers={200: s.QuotaOut},
)
def get_quota(call: Call) -> Work:
    """The balance, and the lifetime sums that made it."""
    return Work(lambda tx: call.services.quota.balance(tx, call.values["member_id"]), render.quota)


@operation(
    "GET",
    "/v1/members/{member_id}/quota/entries",
    tag="Quota",
    summary="How a balance came to be",
    scope=Scope.MEMBERS_READ,
    query=s.PageQuery,
    answers={200: render.QuotaEntryPageOut},
    refusals=("cursor_invalid",),
)
def list_quota_entries(call: Call) -> Work:
    """The append-only ledger, oldest first; the amounts add up to the balance."""
    paging = paging_of(call.query)
    return Work(
        lambda tx: call.services.quota.entries(tx, call.values["member_id"], paging),
        render.page(render.QuotaEntryPageOut, render.quota_entry),
    )


@operation(
    "POST",
    "/v1/quota-grants",
    tag="Quota",
    summary="Grant invites to members",
    scope=Scope.QUOTA_WRITE,
    body=s.QuotaGrantIn,
    answers={200: s.QuotaGrantsOut},
    refusals=("validation_failed",),
    example={"member_ids": ["mem_01k0tf55mn9s0j7qdpmwvwrxj2a3"], "amount": 5, "reason": "spring round"},
)
def grant_quota(call: Call) -> Work:
    """One result per member. The same `batch_id` again grants nothing twice.

    `dry_run` shows what would happen and changes nothing.
    """
    body: s.QuotaGrantIn = call.body
    wanted = GrantMany(
        amount=body.amount,
        reason=body.reason,
        member_ids=None if body.member_ids is None else tuple(body.member_ids),
        where=body.filter,
        batch_id=body.batch_id,
        expires_at=body.expires_at,
    )
    grants = call.services.grants

    def grant(tx: Tx) -> Sequence[Granted]:
        targets = grants.targets(tx, wanted, most=MAX_TARGETS + 1)
        if len(targets) > MAX_TARGETS:
            raise invalid(
                "/filter", "too_many", f"More than {MAX_TARGETS} members at once: use the command line."
            )
        # From here on these members: a filter asked twice could answer twice.
        settled = replace(wanted, member_ids=targets, where=None)
        return grants.preview(tx, settled) if body.dry_run else grants.grant(tx, settled)

    return Work(
        grant,
        lambda results: s.QuotaGrantsOut(
            batch_id=body.batch_id, dry_run=body.dry_run, data=[render.quota_grant(one) for one in results]
        ),
    )
