"""Trust: a member's score and its reasons."""

from __future__ import annotations

from identity_service.api import render
from identity_service.api.operation import Call, Work, operation
from identity_service.api.trust_schemas import TrustExplainedOut
from identity_service.services.clients import Scope


@operation(
    "GET",
    "/v1/members/{member_id}/trust",
    tag="Members",
    summary="Explain a member's trust",
    scope=Scope.MEMBERS_READ,
    answers={200: TrustExplainedOut},
)
def get_trust(call: Call) -> Work:
    """The exact score as a sum: what the inviter, each invitee and each piece of own evidence add.

    The twenty invitees with the largest effect have a line each, the others share one.
    """
    member_id = call.values["member_id"]
    return Work(lambda tx: call.services.trust.explain(tx, member_id), render.trust)
