"""One module a resource.  Importing this package declares every operation."""

from identity_service.api.resources import (
    events,
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
