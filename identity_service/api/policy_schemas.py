"""What the policy looks like over REST: the rules in force, and what is announced."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from identity_service.api.schemas import Output, OutTime


class PolicyChangeOut(Output):
    rule: Annotated[str, Field(examples=["invites.hold"])]
    before: Annotated[str | None, Field(description="As the file says it; null where the rule is new.")]
    after: Annotated[str | None, Field(description="Null where the rule is gone.")]


class AnnouncedPolicyOut(Output):
    version: str
    sha256: str
    announced_at: OutTime
    in_force_from: OutTime
    changes: Annotated[
        list[PolicyChangeOut], Field(description="Beside the policy that it follows, rule by rule.")
    ]


class PolicyOut(Output):
    version: str
    sha256: str
    source: Annotated[
        Literal["database", "settings"],
        Field(description="`settings` until the first policy that was announced has taken force."),
    ]
    in_force_from: OutTime | None
    rules: Annotated[dict[str, Any], Field(description="Every rule, as the policy file says it.")]
    announced: Annotated[
        list[AnnouncedPolicyOut], Field(description="What will take force, the soonest first.")
    ]
