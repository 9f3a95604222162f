"""The phone simulator: a phone on the page that receives what the development provider was handed.

There only where the provider `inbox` is on, and never in production: it shows codes in clear.  What its
buttons do goes through the same use cases as any other client's calls, in the name of one without a key.
"""

from __future__ import annotations

import re
import secrets
from dataclasses import dataclass, replace
from typing import Any, Final

from flask import Response

from identity_service.container import Container
from identity_service.dashboard.frame import Viewer, asked, dashboard, page, signed_in
from identity_service.errors import Actor, Refused, not_found
from identity_service.services.dashboard_access import Role
from identity_service.services.invites import IssueInvite
from identity_service.services.registration import Register, Registered
from identity_service.services.verification import StartVerification
from sms.numbers import Number
from sms.providers.inbox import Inbox, InboxMessage
from sms.segments import Segments, count

CLIENT: Final = "(phone simulator)"
CAMPAIGN: Final = "phone-simulator"
_SHOWN: Final = 30
_PRICED_AS: Final = "twilio"  # the inbox is free, and what it stands for is not
_KNOWN_PHONES: Final = 12
_OTP: Final = re.compile(r"(?<![\d-])(\d{6}|\d{8})(?![\d-])", re.ASCII)
_INVITE: Final = re.compile(r"\b([0-9A-Z]{3,}(?:-[0-9A-Z*~$=]{1,})+)", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class Bubble:
    """A message on the phone, and what can be done with it."""

    body: str
    sent_at: str
    size: Segments
    dollars: float | None
    otp: str | None
    invite_code: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Play:
    """How far a registration has been played: what the page's form carries on."""

    to: str
    verification: str = ""
    invite_code: str = ""


def _inbox(services: Container) -> Inbox:
    provider = services.providers.get("inbox")
    if services.settings.production or not isinstance(provider, Inbox):
        raise not_found("page")
    return provider


def _bubbles(viewer: Viewer, to: str) -> list[Bubble]:
    found = _inbox(viewer.services).messages(to=to, limit=_SHOWN)
    micros = _segment_price(viewer, to) if found else None
    return [_bubble(message, micros) for message in found]


def _segment_price(viewer: Viewer, to: str) -> int | None:
    """Return what a segment to this phone costs by the price list, in millionths of a dollar."""
    services = viewer.services
    try:
        number = services.phones.read(to, "/to")
    except Refused:
        return None
    price = viewer.read(lambda tx: services.pricing.of(tx, _PRICED_AS, number.e164, number.country))
    return None if price is None else price.micros


def _bubble(message: InboxMessage, micros: int | None) -> Bubble:
    body = message["body"]
    otp, code = _OTP.search(body), _INVITE.search(body)
    return Bubble(
        body=body,
        sent_at=message["sent_at"],
        size=count(body),
        dollars=None if micros is None else count(body).segments * micros / 1_000_000,
        otp=None if otp is None or code is not None else otp[1],
        invite_code=None if code is None else code[1],
    )


def _fictional() -> str:
    """Return a number of a range that is kept for fiction (North America's 555-0100 to 0199)."""
    return f"+1202555{100 + secrets.randbelow(100):04d}"


def _show(viewer: Viewer, play: Play, status: int = 200, /, **more: Any) -> Response:
    newest = _inbox(viewer.services).messages(limit=_SHOWN * 10)
    known = list(dict.fromkeys(message["to"] for message in newest))[:_KNOWN_PHONES]
    bubbles = _bubbles(viewer, play.to)
    return page("phones.html", status, play=play, known=known, bubbles=bubbles, **more)


@dashboard.get("/phones")
@signed_in(Role.ADMIN)
def phones(viewer: Viewer) -> Response:
    to = asked("to", 20)
    return _show(viewer, Play(to="+" + to.lstrip("+ ") if to else _fictional()))


@dashboard.get("/phones/screen")
@signed_in(Role.ADMIN)
def screen(viewer: Viewer) -> Response:
    """What is on the phone's screen: asked for again and again by the page."""
    to = "+" + asked("to", 20).lstrip("+ ")  # an unescaped + in a query is a blank
    return page("part_screen.html", bubbles=_bubbles(viewer, to))


@dashboard.post("/phones/<act>")
@signed_in(Role.ADMIN)
def act(viewer: Viewer, act: str) -> Response:
    """Do one step of a registration, and show how far it is."""
    _inbox(viewer.services)
    step = _STEPS.get(act)
    if step is None:
        raise not_found("page")
    play = Play(
        to=asked("to", 20), verification=asked("verification", 40), invite_code=asked("invite_code", 100)
    )
    try:
        return step(_Simulator(viewer), play)
    except Refused as refused:
        return _show(viewer, play, 422, refusal=refused)


class _Simulator:
    """What the buttons do, in the name of the simulator's own client."""

    def __init__(self, viewer: Viewer) -> None:
        self._viewer, self._services = viewer, viewer.services
        client_id = viewer.do(lambda tx: self._services.clients.built_in(tx, CLIENT))
        self._actor = Actor(
            kind="client", name=CLIENT, client_id=client_id, request_id=viewer.actor.request_id
        )

    def _do(self, use_case: Any) -> Any:
        return self._services.store.transact(self._actor, use_case)

    def _number(self, play: Play) -> Number:
        return self._services.phones.read(play.to, "/to")

    def invite_by_sms(self, play: Play) -> Response:
        number = self._number(play)
        wanted = IssueInvite(campaign=CAMPAIGN, channel="sms", number=number, locale=self._locale())
        self._do(lambda tx: self._services.invites.issue(tx, wanted))
        return _show(self._viewer, Play(to=number.e164), told="phones.invited")

    def invite_by_link(self, play: Play) -> Response:
        """Make a link, and open it: a code is sent to the phone."""
        number = self._number(play)
        link = IssueInvite(campaign=CAMPAIGN, channel="link", locale=self._locale())
        code: str = self._do(lambda tx: self._services.invites.issue(tx, link)).code
        return self._start(replace(play, to=number.e164, invite_code=code), number)

    def _start(self, play: Play, number: Number) -> Response:
        wanted = StartVerification(
            purpose="registration", number=number, invite_code=play.invite_code, locale=self._locale()
        )
        started = self._do(lambda tx: self._services.verifications.start(tx, wanted))
        return _show(self._viewer, replace(play, verification=started.id), told="phones.code_sent")

    def redeem(self, play: Play) -> Response:
        """Register with an invite that came by SMS: having its code is having the phone."""
        number = self._number(play)
        wanted = Register(invite_code=asked("code", 100), number=number, locale=self._locale())
        return self._register(play, wanted)

    def check(self, play: Play) -> Response:
        """Check the one-time code, and register with what it proves."""
        code = asked("code", 12)
        checked = self._do(lambda tx: self._services.verifications.check(tx, play.verification, code))
        wanted = Register(invite_code=play.invite_code, proof=checked.proof, locale=self._locale())
        return self._register(play, wanted)

    def _register(self, play: Play, wanted: Register) -> Response:
        made: Registered = self._do(lambda tx: self._services.registrations.register(tx, wanted))
        return _show(self._viewer, Play(to=play.to), made=made, told="phones.made")

    def _locale(self) -> str:
        return self._viewer.say.locale


_STEPS: Final = {
    "invite-sms": _Simulator.invite_by_sms,
    "invite-link": _Simulator.invite_by_link,
    "redeem": _Simulator.redeem,
    "check": _Simulator.check,
}
