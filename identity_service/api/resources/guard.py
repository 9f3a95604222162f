"""`/v1/guard/decisions`: whom the pumping guard blocks, and its release."""

from __future__ import annotations

from identity_service.api import guard_schemas as s
from identity_service.api.operation import Call, Work, operation
from identity_service.api.paging import paging_of
from identity_service.api.render import out, page
from identity_service.ports import rfc3339, rfc3339_or_none
from identity_service.services.clients import Scope
from identity_service.services.guard_decisions import DecisionView

_REASON = ("signal", "unit", "value", "threshold", "answer")


@operation(
    "GET",
    "/v1/guard/decisions",
    tag="Guard",
    summary="List the guard's decisions",
    scope=Scope.ADMIN,
    query=s.DecisionsQuery,
    answers={200: s.DecisionPageOut},
    refusals=("cursor_invalid",),
)
def list_guard_decisions(call: Call) -> Work:
    """Newest first, each with its reasons: the signal, what it saw and the threshold that this met."""
    query: s.DecisionsQuery = call.query
    paging = paging_of(query)
    decisions = call.services.guard.decisions
    return Work(
        lambda tx: decisions.page(tx, paging, in_force=query.in_force == "true", country=query.country),
        page(s.DecisionPageOut, decision),
    )


@operation(
    "POST",
    "/v1/guard/decisions/{decision_id}/release",
    tag="Guard",
    summary="Release a decision",
    scope=Scope.ADMIN,
    body=s.ReleaseIn,
    answers={200: s.DecisionOut},
    example={"reason": "A school, not a pump."},
)
def release_guard_decision(call: Call) -> Work:
    """Undo a decision. What was sent before does not count any more. Releasing it again changes nothing."""
    decisions = call.services.guard.decisions
    return Work(
        lambda tx: decisions.release(tx, call.values["decision_id"], call.body.reason),
        decision,
    )


def decision(view: DecisionView) -> s.DecisionOut:
    return out(
        s.DecisionOut,
        id=view.id,
        unit=view.unit,
        name=view.name,
        country=view.country,
        answer=view.answer,
        grade=view.grade,
        state=view.state,
        actor=view.actor,
        at=rfc3339(view.at),
        until=rfc3339_or_none(view.until),
        ended_at=rfc3339_or_none(view.ended_at),
        end_actor=view.end_actor,
        end_reason=view.end_reason,
        reasons=[
            out(s.ReasonOut, detail=each["detail"], **{name: each.get(name) for name in _REASON})
            for each in view.reasons
        ],
    )
