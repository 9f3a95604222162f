"""From the stories of messages to the API's answers."""

from __future__ import annotations

from identity_service.api import message_schemas as s
from identity_service.api.render import DELIVERY, out
from identity_service.api.schemas import VerifiedPhoneOut
from identity_service.ports import rfc3339, rfc3339_or_none
from identity_service.services.fates import Fate
from identity_service.services.timeline import Entry, Story
from sms.route import ChoiceReason


def fate(found: Fate) -> s.MessagesOut:
    advice = found.advice
    return out(
        s.MessagesOut,
        data=[story(one) for one in found.stories],
        next=out(s.AdviceOut, step=advice.step, at=rfc3339_or_none(advice.at), words=advice.words),
    )


def story(told: Story) -> s.MessageOut:
    return out(
        s.MessageOut,
        id=told.id,
        kind=told.kind,
        channel=told.channel,
        state=DELIVERY.get(told.state, told.state),
        reason=told.reason,
        segments=told.segments,
        created_at=rfc3339(told.created_at),
        updated_at=rfc3339(told.updated_at),
        timeline=[happened(entry) for entry in told.entries],
    )


def operators(told: Story) -> s.OperatorsMessageOut:
    return out(
        s.OperatorsMessageOut,
        id=told.id,
        subject_id=told.subject_id,
        kind=told.kind,
        channel=told.channel,
        phone=VerifiedPhoneOut(masked=told.masked, country=told.country),
        state=told.state,
        reason=told.reason,
        provider=told.provider,
        attempts=told.attempts,
        segments=told.segments,
        cost=_dollars(told.cost),
        charged=_dollars(told.charged),
        came_back_at=rfc3339_or_none(told.came_back_at),
        created_at=rfc3339(told.created_at),
        updated_at=rfc3339(told.updated_at),
        timeline=[_tried(entry) for entry in told.entries],
    )


def _tried(entry: Entry) -> s.TriedOut:
    return out(
        s.TriedOut,
        at=rfc3339(entry.at),
        what=entry.what,
        words=entry.words,
        attempt=entry.attempt,
        provider=entry.provider,
        confirmed_by=entry.confirmed_by,
        failure=entry.failure,
        provider_code=entry.provider_code,
        why=None if entry.why is None else ChoiceReason(entry.why),
        took_ms=entry.took_ms,
    )


def _dollars(micros: int | None) -> float | None:
    return None if micros is None else micros / 1_000_000


def happened(entry: Entry) -> s.HappenedOut:
    return out(
        s.HappenedOut,
        at=rfc3339(entry.at),
        what=entry.what,
        words=entry.words,
        attempt=entry.attempt,
        provider=entry.provider,
        confirmed_by=entry.confirmed_by,
    )
