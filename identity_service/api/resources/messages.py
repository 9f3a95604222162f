"""What became of the messages about an invite or a verification, and what to do when one did not come."""

from __future__ import annotations

from identity_service.api import message_render as render
from identity_service.api import message_schemas as s
from identity_service.api.operation import Call, Work, operation
from identity_service.services.clients import Scope


@operation(
    "GET",
    "/v1/messages/{message_id}",
    tag="Messages",
    summary="Read a message as operators do",
    scope=Scope.ADMIN,
    answers={200: s.OperatorsMessageOut},
)
def get_message(call: Call) -> Work:
    """All that is known of one message: each attempt, why it went to whom, what it cost. Never its text."""
    return Work(lambda tx: call.services.timeline.must_tell(tx, call.values["message_id"]), render.operators)


@operation(
    "GET",
    "/v1/invites/{invite_id}/messages",
    tag="Messages",
    summary="Follow an invite's messages",
    scope=Scope.INVITES_READ,
    answers={200: s.MessagesOut},
)
def list_invite_messages(call: Call) -> Work:
    """Everything that happened to each message of an invite by SMS, and what to do next.

    An invite that is a link has no messages.
    """
    return Work(lambda tx: call.services.fates.of_invite(tx, call.values["invite_id"]), render.fate)


@operation(
    "POST",
    "/v1/invites/{invite_id}/not-received",
    tag="Messages",
    summary="Tell that an invite did not come",
    scope=Scope.INVITES_WRITE,
    answers={200: s.MessagesOut},
    refusals=("invite_not_sms",),
)
def invite_not_received(call: Call) -> Work:
    """Noted once for the newest message; answers what to do next. Nothing is sent by this call."""
    return Work(lambda tx: call.services.fates.invite_not_received(tx, call.values["invite_id"]), render.fate)


@operation(
    "GET",
    "/v1/verifications/{verification_id}/messages",
    tag="Messages",
    summary="Follow a verification's messages",
    scope=Scope.VERIFICATIONS_WRITE,
    answers={200: s.MessagesOut},
)
def list_verification_messages(call: Call) -> Work:
    """What happened to each message, and what to do next.

    For `login` and `recovery` only what is the same for every phone is told, whether or not it is a member's.
    """
    return Work(
        lambda tx: call.services.fates.of_verification(tx, call.values["verification_id"]), render.fate
    )


@operation(
    "POST",
    "/v1/verifications/{verification_id}/not-received",
    tag="Messages",
    summary="Tell that a code did not come",
    scope=Scope.VERIFICATIONS_WRITE,
    answers={200: s.MessagesOut},
)
def verification_not_received(call: Call) -> Work:
    """Noted once for the newest message; answers what to do next. Nothing is sent by this call."""
    return Work(
        lambda tx: call.services.fates.verification_not_received(tx, call.values["verification_id"]),
        render.fate,
    )
