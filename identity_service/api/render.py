"""From the services' frozen results to the API's answers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, TypeVar, cast

from pydantic import create_model

from graph.trust import Source
from identity_service.api import policy_schemas as ps
from identity_service.api import schemas as s
from identity_service.api import trust_schemas as ts
from identity_service.policy.changes import Change
from identity_service.policy.inviting import Decision
from identity_service.policy.rules import rules_of
from identity_service.ports import rfc3339, rfc3339_or_none
from identity_service.services.invite_codes import Lookup
from identity_service.services.invites import InviteView
from identity_service.services.journal import Event
from identity_service.services.members import MemberView
from identity_service.services.paging import Page
from identity_service.services.policy_book import Announced, Outlook
from identity_service.services.quota import Granted, Quota
from identity_service.services.recovery import LoggedIn, RecoveryView
from identity_service.services.registration import Registered
from identity_service.services.sanctions import Preview, SanctionView, Standing
from identity_service.services.signals import Received
from identity_service.services.subtree import TreeSummary
from identity_service.services.trust import MemberTrust
from identity_service.services.verification import VerificationView

M = TypeVar("M", bound=s.Output)
DELIVERY: Final = {"sending": "queued", "withheld": "queued", "dead": "failed"}
"""What an inviter is told of the outbox's own states."""


def page_model(item: type[s.Output]) -> type[s.Output]:
    """Return the model of a page of items: `{data, next_cursor, has_more}`."""
    return create_model(
        item.__name__.removesuffix("Out") + "PageOut",
        __base__=s.Output,
        data=(list[item], ...),  # type: ignore[valid-type]
        next_cursor=(str | None, ...),
        has_more=(bool, ...),
    )


InvitePageOut = page_model(s.InviteOut)
MemberPageOut = page_model(s.MemberOut)
QuotaEntryPageOut = page_model(s.QuotaEntryOut)
EventPageOut = page_model(s.EventOut)
SanctionPageOut = page_model(s.SanctionOut)


def page(model: type[s.Output], one: Callable[[Any], s.Output]) -> Callable[[Page[Any]], s.Output]:
    """Return how a page of results is told."""
    return lambda found: out(
        model, data=[one(item) for item in found.data], next_cursor=found.next_cursor, has_more=found.has_more
    )


def out(model: type[M], **values: Any) -> M:
    """Fill an answer from a result of ours: checked by the types and tests of what made it, not once more."""
    return cast("M", model.model_construct(**values))


def invite(view: InviteView) -> s.InviteOut:
    return out(
        s.InviteOut,
        id=view.id,
        code=view.code,
        link=view.link,
        state=view.state,
        issuer_id=view.issuer_id,
        campaign=view.campaign,
        channel=view.channel,
        phone=view.phone,
        max_uses=view.max_uses,
        uses=view.uses,
        expires_at=rfc3339(view.expires_at),
        created_at=rfc3339(view.created_at),
        opened_at=rfc3339_or_none(view.opened_at),
        locale=view.locale,
        note=view.note,
        delivery=out(
            s.DeliveryOut,
            state=DELIVERY.get(view.delivery_state, view.delivery_state),
            reason=view.delivery_reason,
            updated_at=rfc3339_or_none(view.delivery_updated_at),
        ),
    )


def lookup(found: Lookup) -> s.InviteLookupOut:
    return out(
        s.InviteLookupOut,
        redeemable=found.redeemable,
        channel=found.channel,
        phone_required=found.phone_required,
    )


def verification(view: VerificationView) -> s.VerificationOut:
    return out(
        s.VerificationOut,
        id=view.id,
        purpose=view.purpose,
        phone=out(s.VerifiedPhoneOut, masked=view.masked, country=view.country),
        state=view.state,
        channel=view.channel,
        code_length=view.code_length,
        expires_at=rfc3339(view.expires_at),
        attempts_left=view.attempts_left,
        next=out(
            s.NextOut,
            resend_at=rfc3339_or_none(view.resend_at),
            channel="sms" if view.resend_at is not None else None,
            check_at=rfc3339_or_none(view.check_at),
        ),
        proof=view.proof,
    )


def member(view: MemberView) -> s.MemberOut:
    phone = None
    if view.masked is not None:
        phone = out(
            s.MemberPhoneOut,
            masked=view.masked,
            country=view.phone_country,
            type=view.phone_kind,
            verified_at=rfc3339_or_none(view.phone_verified_at),
        )
    return out(
        s.MemberOut,
        id=view.id,
        external_id=view.external_id,
        state=view.state,
        inviter_id=view.inviter_id,
        invite_id=view.invite_id,
        campaign=view.campaign,
        generation=view.generation,
        joined_at=rfc3339(view.joined_at),
        country=view.country,
        phone=phone,
        trust=out(s.TrustOut, score=view.score, level=view.level),
        quota=out(s.MemberQuotaOut, available=view.available),
        depth=view.depth,
    )


def registered(result: Registered) -> s.RegisteredOut:
    return out(
        s.RegisteredOut,
        member=member(result.member),
        assertion=result.assertion,
        device_token=result.device_token,
        recovery_codes=list(result.recovery_codes),
    )


def logged_in(result: LoggedIn) -> s.LoginOut:
    return out(
        s.LoginOut,
        member=member(result.member),
        assertion=result.assertion,
        device_token=result.device_token,
    )


def recovery(view: RecoveryView) -> s.RecoveryOut:
    return out(
        s.RecoveryOut,
        id=view.id,
        member_id=view.member_id,
        state=view.state,
        reason=view.reason,
        requires=list(view.requires),
        created_at=rfc3339(view.created_at),
        release_at=rfc3339_or_none(view.release_at),
        granted_at=rfc3339_or_none(view.granted_at),
        assertion=view.assertion,
    )


def tree_summary(summary: TreeSummary) -> s.TreeSummaryOut:
    return out(
        s.TreeSummaryOut,
        invitees=summary.invitees,
        descendants=summary.descendants,
        depth=summary.depth,
        states={
            "active": summary.active,
            "suspended": summary.suspended,
            "banned": summary.banned,
            "erased": summary.erased,
        },
        at_least=summary.at_least,
    )


def eligibility(decision: Decision) -> s.EligibilityOut:
    return out(
        s.EligibilityOut,
        allowed=decision.allowed,
        available=decision.granted + decision.earned,
        granted=decision.granted,
        earned=decision.earned,
        may_give_earned=decision.may_spend_earned,
        level=decision.level,
        policy_version=decision.version,
        rules=[
            out(
                s.RuleOut,
                rule=rule.rule,
                value=rule.value,
                threshold=rule.threshold,
                passed=rule.passed,
                earliest_at=rfc3339_or_none(rule.earliest_at),
                gates=rule.gates.value,
                code=rule.code,
                detail=rule.detail,
            )
            for rule in decision.rules
        ],
        next_grant_at=rfc3339_or_none(decision.next_grant_at),
    )


def quota(balance: Quota) -> s.QuotaOut:
    return out(
        s.QuotaOut,
        available=balance.available,
        granted=balance.granted,
        spent=balance.spent,
        refunded=balance.refunded,
        expired=balance.expired,
    )


def quota_entry(row: Any) -> s.QuotaEntryOut:
    return out(
        s.QuotaEntryOut,
        id=row.id,
        kind=row.kind,
        amount=row.amount,
        invite_id=row.invite_id,
        batch_id=row.batch_id,
        actor=row.actor,
        reason=row.reason,
        created_at=rfc3339(row.created_at),
        expires_at=rfc3339_or_none(row.expires_at),
    )


def quota_grant(granted: Granted) -> s.QuotaGrantResultOut:
    return out(
        s.QuotaGrantResultOut,
        member_id=granted.member_id,
        result=granted.result,
        amount=granted.amount,
        available=granted.available,
        code=granted.code,
    )


def signal(received: Received) -> s.SignalOut:
    return out(s.SignalOut, id=received.id, duplicate=received.duplicate)


def sanction(view: SanctionView) -> s.SanctionOut:
    return out(
        s.SanctionOut,
        id=view.id,
        member_id=view.member_id,
        action=view.action,
        scope=view.scope,
        reason_code=view.reason_code,
        explanation=view.explanation,
        state=view.state,
        created_at=rfc3339(view.created_at),
        expires_at=rfc3339_or_none(view.expires_at),
        lifted_at=rfc3339_or_none(view.lifted_at),
        lift_explanation=view.lift_explanation,
    )


def sanction_or_preview(result: SanctionView | Preview) -> s.SanctionOut | s.SanctionPreviewOut:
    if isinstance(result, SanctionView):
        return sanction(result)
    return out(
        s.SanctionPreviewOut,
        dry_run=True,
        member_id=result.member_id,
        state_now=result.state_now,
        state_after=result.state_after,
        invites_frozen_after=result.invites_frozen_after,
        open_invites_stopped=result.open_invites_stopped,
    )


def standing(result: Standing) -> s.StandingOut:
    return out(
        s.StandingOut,
        member_id=result.member_id,
        state=result.state,
        sanctions=[sanction(view) for view in result.sanctions],
    )


def trust(told: MemberTrust) -> ts.TrustExplainedOut:
    score = told.explanation.score
    return out(
        ts.TrustExplainedOut,
        score=told.score,
        level=told.level,
        as_of_event=told.as_of_event,
        log_odds=score.log_odds,
        conduct=score.conduct,
        standing=score.standing,
        published=told.published is not None,
        explanation=[
            out(
                ts.TrustLineOut,
                source=line.source.value,
                # A campaign is nobody's id over REST: its name stands beside its members.
                member_id=None if line.source is Source.CAMPAIGN else line.member,
                kind=line.kind and line.kind.value,
                log_odds=line.log_odds,
                detail=line.detail,
            )
            for line in told.explanation.lines
        ],
        would_help=[
            out(
                ts.TrustHelpOut,
                action=step.action,
                member_id=step.member,
                log_odds_gain=step.log_odds_gain,
                conduct_gain=step.conduct_gain,
                log_odds=step.log_odds,
                detail=step.detail,
            )
            for step in told.explanation.would_help
        ],
    )


def event(told: Event) -> s.EventOut:
    return out(
        s.EventOut,
        id=told.id,
        seq=told.seq,
        type=told.type,
        occurred_at=rfc3339(told.at),
        subject_id=told.subject_id,
        data=told.data,
    )


def policy(outlook: Outlook) -> ps.PolicyOut:
    edition = outlook.in_force
    return out(
        ps.PolicyOut,
        version=edition.version,
        sha256=edition.sha256.hex(),
        source="database" if edition.number else "settings",
        in_force_from=rfc3339_or_none(edition.in_force_from),
        rules=rules_of(edition.text),
        announced=[announced_policy(one) for one in outlook.coming],
    )


def announced_policy(announced: Announced) -> ps.AnnouncedPolicyOut:
    edition = announced.edition
    return out(
        ps.AnnouncedPolicyOut,
        version=edition.version,
        sha256=edition.sha256.hex(),
        announced_at=rfc3339_or_none(edition.announced_at),
        in_force_from=rfc3339_or_none(edition.in_force_from),
        changes=[policy_change(one) for one in announced.changes],
    )


def policy_change(change: Change) -> ps.PolicyChangeOut:
    return out(ps.PolicyChangeOut, rule=change.rule, before=change.before, after=change.after)
