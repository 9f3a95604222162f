"""What is told of the pumping guard's decisions over REST, as pydantic models."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from identity_service.api.render import page_model
from identity_service.api.schemas import Explanation, Input, Output, OutTime, PageQuery


class DecisionsQuery(PageQuery):
    in_force: Literal["true", "false"] = "false"
    country: Annotated[str | None, Field(max_length=3)] = None


class ReasonOut(Output):
    signal: Annotated[str | None, Field(description="Which signal; none where an operator decided.")]
    unit: str | None
    value: float | None
    threshold: float | None
    answer: str | None
    detail: str


class DecisionOut(Output):
    id: str
    unit: Literal["phone", "prefix", "range", "inviter", "branch", "country"]
    name: Annotated[str, Field(description="The beginning of a number, or the id of a phone or member.")]
    country: str | None
    answer: Literal["block", "monitor", "allow"]
    grade: int
    state: Literal["in_force", "probation", "healed", "released", "escalated", "outage", "forgotten"]
    actor: str
    at: OutTime
    until: OutTime | None
    ended_at: OutTime | None
    end_actor: str | None
    end_reason: str | None
    reasons: list[ReasonOut]


class ReleaseIn(Input):
    reason: Explanation


DecisionPageOut = page_model(DecisionOut)
