"""What is told of messages over REST, as pydantic models."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from identity_service.api.schemas import Output, OutTime, VerifiedPhoneOut
from sms.fate import ConfirmedBy, Happening, Step
from sms.providers.base import FailureKind
from sms.route import ChoiceReason


class HappenedOut(Output):
    at: OutTime
    what: Annotated[Happening, Field(description="Stable, for programs.")]
    words: Annotated[str, Field(description="The same for people.")]
    attempt: Annotated[int | None, Field(description="Which attempt it belongs to, from 1.")]
    provider: Annotated[str | None, Field(description="Who took, refused or reported it.")]
    confirmed_by: Annotated[
        ConfirmedBy | None,
        Field(description="Whose word a delivery is: `carrier` where the phone itself is never asked."),
    ]


class MessageOut(Output):
    id: Annotated[str, Field(examples=["msg_01k0te9q6c4m8w2x5z7b9d1f3h5j"])]
    kind: Literal["otp", "invite", "recovery_held", "recovery_granted"]
    channel: Literal["sms"]
    state: Literal["queued", "sent", "delivered", "undelivered", "failed"]
    reason: Annotated[str | None, Field(description="Why it failed or waits, in words.")]
    segments: Annotated[int | None, Field(description="What it was billed as, where that is known.")]
    created_at: OutTime
    updated_at: OutTime
    timeline: list[HappenedOut]


class TriedOut(HappenedOut):
    failure: Annotated[FailureKind | None, Field(description="Why, by what there is to do about it.")]
    provider_code: Annotated[str | None, Field(description="The provider's own code.")]
    why: Annotated[ChoiceReason | None, Field(description="Why this provider was asked.")]
    took_ms: Annotated[int | None, Field(description="How long it took to answer.")]


class OperatorsMessageOut(Output):
    id: Annotated[str, Field(examples=["msg_01k0te9q6c4m8w2x5z7b9d1f3h5j"])]
    subject_id: Annotated[str, Field(description="The invite, verification or member that it is about.")]
    kind: Literal["otp", "invite", "recovery_held", "recovery_granted"]
    channel: Literal["sms"]
    phone: VerifiedPhoneOut
    state: Annotated[
        Literal["queued", "sending", "sent", "delivered", "undelivered", "failed", "dead", "withheld"],
        Field(description="`dead`: an operator can replay it. `withheld`: a decoy, sent to nobody."),
    ]
    reason: str | None
    provider: Annotated[str | None, Field(description="Who took it, or refused it last.")]
    attempts: int
    segments: int | None
    cost: Annotated[float | None, Field(description="What it was expected to cost, in US dollars.")]
    charged: Annotated[float | None, Field(description="What the provider said that it took, in the same.")]
    came_back_at: Annotated[OutTime | None, Field(description="When its code was entered.")]
    created_at: OutTime
    updated_at: OutTime
    timeline: list[TriedOut]


class AdviceOut(Output):
    step: Annotated[
        Step,
        Field(
            description="`resend` from `at` on; `use_link`: no message will reach this number; "
            "`start_again`: this one is over."
        ),
    ]
    at: OutTime | None
    words: str


class MessagesOut(Output):
    data: Annotated[list[MessageOut], Field(description="Oldest first.")]
    next: AdviceOut
