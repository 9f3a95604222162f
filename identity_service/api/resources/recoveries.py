"""`/v1/recoveries`: by the phone on record; at once, or held where the member was dormant."""

from __future__ import annotations

from identity_service.api import render
from identity_service.api import schemas as s
from identity_service.api.operation import Call, Work, operation
from identity_service.services.clients import Scope


@operation(
    "POST",
    "/v1/recoveries",
    tag="Recovery",
    summary="Recover a member",
    scope=Scope.RECOVERIES_WRITE,
    body=s.RecoverIn,
    answers={201: s.RecoveryOut},
    refusals=(
        "proof_invalid",
        "proof_expired",
        "proof_consumed",
        "member_suspended",
        "member_banned",
        "recovery_held_elsewhere",
    ),
    example={"proof": "eyJ2IjoidmVyXzAx.aSGmEA.Zq3x0bX1rWm8"},
    links={
        "get": ("get_recovery", {"recovery_id": "$response.body#/id"}),
        "code": ("give_recovery_code", {"recovery_id": "$response.body#/id"}),
        "veto": ("veto_recovery", {"recovery_id": "$response.body#/id"}),
        "member": ("get_member", {"member_id": "$response.body#/member_id"}),
    },
)
def recover(call: Call) -> Work:
    """`granted` with an assertion, or `held` until `release_at`, with a notice to the number on record.

    A held recovery is taken up by a fresh proof after `release_at`, or at once by a recovery code.
    """
    return Work(lambda tx: call.services.recoveries.recover(tx, call.body.proof), render.recovery)


@operation(
    "GET",
    "/v1/recoveries/{recovery_id}",
    tag="Recovery",
    summary="Read a recovery",
    scope=Scope.RECOVERIES_WRITE,
    answers={200: s.RecoveryOut},
)
def get_recovery(call: Call) -> Work:
    """Its state, and what would release it."""
    return Work(lambda tx: call.services.recoveries.get(tx, call.values["recovery_id"]), render.recovery)


@operation(
    "POST",
    "/v1/recoveries/{recovery_id}/recovery-code",
    tag="Recovery",
    summary="Release a held recovery by a recovery code",
    scope=Scope.RECOVERIES_WRITE,
    body=s.RecoveryCodeIn,
    answers={200: s.RecoveryOut},
    refusals=("recovery_over", "recovery_code_incorrect", "member_suspended", "member_banned"),
    example={"code": "k7q4-m2xd-9pta-3hrv"},
)
def give_recovery_code(call: Call) -> Work:
    """One of the codes shown at registration, each good once."""
    return Work(
        lambda tx: call.services.recoveries.give_code(tx, call.values["recovery_id"], call.body.code),
        render.recovery,
    )


@operation(
    "POST",
    "/v1/recoveries/{recovery_id}/veto",
    tag="Recovery",
    summary="Stop a held recovery",
    scope=Scope.RECOVERIES_WRITE,
    body=s.VetoIn,
    answers={200: s.RecoveryOut},
    refusals=("recovery_over",),
    example={"explanation": "It was not me."},
)
def veto_recovery(call: Call) -> Work:
    """The owner answered the notice: it was not them."""
    return Work(
        lambda tx: call.services.recoveries.veto(tx, call.values["recovery_id"], call.body.explanation),
        render.recovery,
    )
