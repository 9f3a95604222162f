"""One module a resource.  Importing this package declares every operation."""

from identity_service.api.resources import (
    events,
    guard,
    invites,
    members,
    messages,
    policy,
    quota,
    recoveries,
    reports,
    sanctions,
    trust,
    verifications,
)

__all__ = [
    "events",
    "guard",
    "invites",
    "members",
    "messages",
    "policy",
    "quota",
    "recoveries",
    "reports",
    "sanctions",
    "trust",
    "verifications",
]
