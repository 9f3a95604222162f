"""From the stories of messages to the API's answers."""

from __future__ import annotations

from identity_service.api import message_schemas as s
from identity_service.api.render import DELIVERY, out
from identity_service.ports import rfc3339, rfc3339_or_none
from identity_service.services.fates import Fate
from identity_service.services.timeline import Entry, Story


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
