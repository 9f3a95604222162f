"""What a member's trust looks like over REST: a score, the sum that it is, and what would raise it."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from identity_service.api.schemas import MemberId, Output


class TrustLineOut(Output):
    source: Literal["prior", "campaign", "inviter", "evidence", "invitee", "other_invitees", "adjudication"]
    member_id: Annotated[
        MemberId | None,
        Field(description="The inviter or the invitee that it comes through. Who reported is never told."),
    ]
    kind: Annotated[str | None, Field(description="Of evidence on the member itself.", examples=["report"])]
    log_odds: float
    detail: str


class TrustHelpOut(Output):
    action: Annotated[str, Field(examples=["vouch"])]
    member_id: Annotated[MemberId | None, Field(description="The invitee concerned.")]
    log_odds_gain: Annotated[float, Field(description="By how much `log_odds` would rise.")]
    conduct_gain: Annotated[float, Field(description="By how much the conduct would.")]
    log_odds: Annotated[float, Field(description="What `log_odds` would be then.")]
    detail: str


class TrustExplainedOut(Output):
    score: Annotated[float, Field(ge=0, le=1, description="1/(1+e^−log_odds).")]
    level: str
    as_of_event: Annotated[
        str | None,
        Field(description="The last event that is taken into account; null before there was any."),
    ]
    log_odds: Annotated[float, Field(description="The exact score; the lines of `explanation` add up to it.")]
    conduct: Annotated[float, Field(description="Log-odds that the member invites cleanly.")]
    standing: Annotated[
        float,
        Field(description="The score with the inviter left out: the only one that may restrict anybody."),
    ]
    published: Annotated[
        bool,
        Field(description="False while the score is not written yet that lists and rules read."),
    ]
    explanation: list[TrustLineOut]
    would_help: Annotated[
        list[TrustHelpOut], Field(description="Single steps that would raise it, by the model; best first.")
    ]
