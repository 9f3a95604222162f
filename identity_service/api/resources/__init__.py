"""One module a resource.  Importing this package declares every operation."""

from identity_service.api.resources import (
    events,
    invites,
    members,
    messages,
    policy,
    quota,
    recoveries,
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
    "sanctions",
    "trust",
    "verifications",
]
