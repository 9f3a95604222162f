"""What a browser keeps on its way through one invite's pages: a sealed cookie, and a token in each form.

The cookie is `HttpOnly` and short-lived, and nothing in it can be read or changed from outside; each invite
has one of its own, so that two invites in two tabs do not meet.  The token belongs to the cookie: a form of
another site, or of another visit, has none that fits.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import secrets
from dataclasses import asdict, dataclass, replace
from typing import Final

from flask import Request, Response

from identity_service.codes import InviteCode
from identity_service.container import Container
from identity_service.crypto import Signer, TokenInvalid
from identity_service.ports import MINUTE, SECOND, Instant

LIFE: Final = 30 * MINUTE
"""As long as a use of the invite is held."""
_SALT: Final = "join.form"
_ROW: Final = "join.visit"


@dataclass(frozen=True, slots=True, kw_only=True)
class Visit:
    """One browser's way through one invite's pages.

    Attributes:
        id: random; the outcome of a step is found again under it.
        code: of the invite.
        until: when the browser starts over.
        verification_id, masked: the one-time code that was sent, and where to.
        joined: the key of the member that was made.
        kept: the member has kept the recovery codes; they are not shown again.
    """

    id: str
    code: str
    until: Instant
    verification_id: str = ""
    masked: str = ""
    joined: str = ""
    kept: bool = False
    fresh: bool = False
    """The browser does not keep it yet."""

    def sent(self, verification_id: str, masked: str) -> Visit:
        return replace(self, verification_id=verification_id, masked=masked, joined="", kept=False)


def of_request(request: Request, services: Container, code: InviteCode) -> Visit:
    """Return the visit that a request's cookie carries, or a new one."""
    now = services.clock.now()
    try:
        sealed = base64.urlsafe_b64decode(request.cookies.get(_name(services, code), ""))
        visit = Visit(**json.loads(services.seal.open(sealed, _ROW)))
    except (ValueError, IndexError, TypeError, binascii.Error):  # none, cut, forged, of an older version
        visit = None
    if visit is None or visit.code != code.canonical or visit.until <= now:
        return Visit(id=secrets.token_urlsafe(18), code=code.canonical, until=now + LIFE, fresh=True)
    return visit


def keep(response: Response, services: Container, visit: Visit) -> None:
    """Let the browser keep a visit, from now on for its whole life again."""
    renewed = replace(visit, until=services.clock.now() + LIFE, fresh=False)
    sealed = services.seal.close(json.dumps(asdict(renewed)).encode(), _ROW)
    response.set_cookie(
        _name(services, InviteCode(visit.code)),
        base64.urlsafe_b64encode(sealed).decode(),
        max_age=LIFE // SECOND,
        secure=_is_https(services),
        httponly=True,
        samesite="Lax",  # sent along when somebody comes from a messenger, never with another site's form
    )


def token_for(services: Container, visit: Visit) -> str:
    """Make the token of one form."""
    return Signer(services.keyring).sign(_SALT, [visit.id, secrets.token_urlsafe(12)], services.clock.now())


def fits(services: Container, visit: Visit, token: str) -> bool:
    """Return whether a form's token belongs to this visit."""
    try:
        signer = Signer(services.keyring)
        owner, _ = signer.read(_SALT, token, max_age=LIFE // SECOND, now=services.clock.now())
    except TokenInvalid:
        return False
    return bool(owner == visit.id)


def _name(services: Container, code: InviteCode) -> str:
    """Return the cookie's name.  `__Host-` binds it to this host alone, where https lets it."""
    short = hashlib.sha256(code.canonical.encode()).hexdigest()[:12]
    return f"{'__Host-' if _is_https(services) else ''}join-{short}"


def _is_https(services: Container) -> bool:
    return services.settings.public_url.startswith("https://")
