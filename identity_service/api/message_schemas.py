"""What is told of messages over REST, as pydantic models."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from identity_service.api.schemas import Output, OutTime
from sms.fate import ConfirmedBy, Happening, Step


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
