"""The policy: the rules that everyone can see, and those that are announced."""

from __future__ import annotations

from identity_service.api import policy_schemas as ps
from identity_service.api import render
from identity_service.api.operation import Call, Work, operation
from identity_service.services.clients import Scope


@operation(
    "GET",
    "/v1/policy",
    tag="Policy",
    summary="Read the rules in force",
    scope=Scope.MEMBERS_READ,
    answers={200: ps.PolicyOut},
)
def get_policy(call: Call) -> Work:
    """Every rule as data, its version, and what is announced with the rules that it will change."""
    return Work(call.services.policies.outlook, render.policy)
