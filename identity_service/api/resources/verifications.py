"""`/v1/verifications`: start, read, send again, check."""

from __future__ import annotations

from identity_service.api import render
from identity_service.api import schemas as s
from identity_service.api.operation import Call, Work, operation
from identity_service.errors import invalid
from identity_service.services.clients import Scope
from identity_service.services.verification import StartVerification


@operation(
    "POST",
    "/v1/verifications",
    tag="Verifications",
    summary="Send a one-time code",
    scope=Scope.VERIFICATIONS_WRITE,
    body=s.StartVerificationIn,
    answers={202: s.VerificationOut},
    refusals=(
        "validation_failed",
        "phone_invalid",
        "invite_not_redeemable",
        "miss_budget_spent",
        "send_cooldown",
        "send_budget_spent",
        "spend_cap_reached",
        "ip_budget_spent",
        "proof_of_work_required",
        "send_blocked",
    ),
    example={"purpose": "registration", "phone": "+14155550123", "invite_code": "7KQ4M-2XD9P-TA3HK"},
    links={
        "get": ("get_verification", {"verification_id": "$response.body#/id"}),
        "resend": ("resend_verification", {"verification_id": "$response.body#/id"}),
        "check": ("check_verification", {"verification_id": "$response.body#/id"}),
    },
)
def start_verification(call: Call) -> Work:
    """Start to verify a phone. The answer is the same whether or not the phone is known.

    `registration` needs a live invite code and holds one use of it for this phone. `login` and `recovery`
    send nothing to a phone that is no member's.
    """
    body: s.StartVerificationIn = call.body
    if (body.purpose == "registration") != (body.invite_code is not None):
        raise invalid(
            "/invite_code",
            "invite_code_needed",
            "invite_code belongs to the purpose registration, and only there.",
        )
    wanted = StartVerification(
        purpose=body.purpose,
        number=call.services.phones.read(body.phone, "/phone"),
        invite_code=body.invite_code,
        device_token=body.device_token,
        locale=body.locale,
        client_ip=body.client_ip,
        solved_challenge=None if body.altcha is None else call.services.work.solved(body.altcha),
    )
    return Work(lambda tx: call.services.verifications.start(tx, wanted), render.verification)


@operation(
    "GET",
    "/v1/verifications/{verification_id}",
    tag="Verifications",
    summary="Read a verification",
    scope=Scope.VERIFICATIONS_WRITE,
    answers={200: s.VerificationOut},
)
def get_verification(call: Call) -> Work:
    """Its state and what may be done next. The proof is never shown here."""
    return Work(
        lambda tx: call.services.verifications.get(tx, call.values["verification_id"]), render.verification
    )


@operation(
    "POST",
    "/v1/verifications/{verification_id}/resend",
    tag="Verifications",
    summary="Send the code again",
    scope=Scope.VERIFICATIONS_WRITE,
    body=s.ResendVerificationIn,
    body_optional=True,
    answers={202: s.VerificationOut},
    refusals=(
        "verification_over",
        "send_cooldown",
        "send_budget_spent",
        "spend_cap_reached",
        "send_blocked",
    ),
    example={},
)
def resend_verification(call: Call) -> Work:
    """The same code again. Neither its life nor its guesses are renewed."""
    return Work(
        lambda tx: call.services.verifications.resend(tx, call.values["verification_id"]), render.verification
    )


@operation(
    "POST",
    "/v1/verifications/{verification_id}/check",
    tag="Verifications",
    summary="Check the code",
    scope=Scope.VERIFICATIONS_WRITE,
    body=s.CheckIn,
    answers={200: s.VerificationOut},
    refusals=("code_incorrect", "guess_budget_spent", "verification_over", "proof_consumed", "proof_expired"),
    example={"code": "271828"},
)
def check_verification(call: Call) -> Work:
    """The right code answers with a proof, good for ten minutes and one use; again, with the same proof."""
    return Work(
        lambda tx: call.services.verifications.check(tx, call.values["verification_id"], call.body.code),
        render.verification,
    )
