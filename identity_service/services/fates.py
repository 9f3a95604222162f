"""What became of the messages about an invite or a verification, and what to do next.

For logins and recoveries only what is the same for every phone is told: a decoy, which is never handed over,
must read like a member's message.  Operators read the whole story (`identity sms timeline`).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Final

from sqlalchemy import bindparam, select

from identity_service.db.store import Statement, Tx
from identity_service.db.tables import invites
from identity_service.errors import Refused, not_found
from identity_service.services.invites import Invites
from identity_service.services.timeline import Story, Timeline
from identity_service.services.verification import Verifications, VerificationView
from sms.fate import Advice, Happening, Known, Step, next_step
from sms.states import DeliveryState

_INVITE = Statement(
    select(
        invites.c.id,
        invites.c.channel,
        invites.c.state,
        invites.c.expires_at,
        invites.c.phone_id,
        invites.c.issuer_id,
    ).where(invites.c.id == bindparam("id"))
)
_NO_DECOYS: Final = frozenset({"registration"})
"""Purposes whose code goes to any phone that is named."""
_TOLD_OF_ALL: Final = frozenset({Happening.QUEUED, Happening.NOT_RECEIVED, Happening.CAME_BACK})
_REACHED: Final = {
    "sent": DeliveryState.SENT,
    "delivered": DeliveryState.DELIVERED,
    "undelivered": DeliveryState.UNDELIVERED,
    "failed": DeliveryState.FAILED,
    "dead": DeliveryState.FAILED,
}
_SHARE_IT: Final = Advice(step=Step.NOTHING, words="This invite is a link: share it again as it is.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Fate:
    """Every message about one thing, oldest first, and what to do."""

    stories: list[Story]
    advice: Advice


class Fates:
    def __init__(self, *, timeline: Timeline, invites: Invites, verifications: Verifications) -> None:
        self._timeline, self._invites, self._verifications = timeline, invites, verifications

    # -- invites --------------------------------------------------------------------------------------

    def of_invite(self, tx: Tx, invite_id: str) -> Fate:
        """Raises: Refused `not_found`."""
        invite = self._invite(tx, invite_id)
        if invite.channel != "sms":
            return Fate(stories=[], advice=_SHARE_IT)
        stories = self._timeline.of_subject(tx, invite_id)
        over = invite.state != "open" or invite.expires_at <= tx.now
        resend_at = None if over else self._invites.next_send_at(tx, invite.issuer_id, invite.phone_id)
        known = Known(
            over=over,
            came_back=invite.state == "redeemed",
            state=_reached(stories),
            failure=stories[-1].failure if stories else None,
            resend_at=resend_at if resend_at is None or resend_at < invite.expires_at else None,
            by_link=True,
        )
        return Fate(stories=stories, advice=next_step(known, now=tx.now))

    def invite_not_received(self, tx: Tx, invite_id: str) -> Fate:
        """Note that an invitee has no message, and say what to do.

        Raises:
            Refused: `not_found`, `invite_not_sms`.
        """
        if self._invite(tx, invite_id).channel != "sms":
            raise Refused("invite_not_sms", "No message was sent for this invite: it is a link.")
        self._timeline.not_received(tx, invite_id)
        return self.of_invite(tx, invite_id)

    def _invite(self, tx: Tx, invite_id: str) -> Any:
        row = tx.one(_INVITE, id=invite_id)
        if row is None:
            raise not_found("invite")
        return row

    # -- verifications --------------------------------------------------------------------------------

    def of_verification(self, tx: Tx, verification_id: str) -> Fate:
        """Raises: Refused `not_found`; also where it is another client's."""
        return self._fate(tx, self._verifications.get(tx, verification_id))

    def verification_not_received(self, tx: Tx, verification_id: str) -> Fate:
        """Note that a code did not come, and say what to do.

        Raises:
            Refused: `not_found`.
        """
        view = self._verifications.get(tx, verification_id)
        self._timeline.not_received(tx, verification_id)
        return self._fate(tx, view)

    def _fate(self, tx: Tx, view: VerificationView) -> Fate:
        whole = view.purpose in _NO_DECOYS
        stories = [
            story if whole else _same_for_all(story) for story in self._timeline.of_subject(tx, view.id)
        ]
        known = Known(
            over=view.state != "pending",
            came_back=view.state == "approved",
            state=_reached(stories),
            failure=stories[-1].failure if stories else None,
            resend_at=view.resend_at,
        )
        return Fate(stories=stories, advice=next_step(known, now=tx.now))


def _reached(stories: list[Story]) -> DeliveryState:
    return _REACHED.get(stories[-1].state, DeliveryState.QUEUED) if stories else DeliveryState.NONE


def _same_for_all(story: Story) -> Story:
    return replace(
        story,
        state="queued",
        reason=None,
        failure=None,
        segments=None,
        cost=None,
        charged=None,
        provider=None,
        attempts=0,
        updated_at=story.created_at,
        entries=tuple(
            replace(entry, provider=None, attempt=None)
            for entry in story.entries
            if entry.what in _TOLD_OF_ALL
        ),
    )
