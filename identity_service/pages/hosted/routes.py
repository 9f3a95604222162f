"""The routes of the hosted join page: look, send a form, be led on.

A form that did what it says is answered with a redirect, so that going back or reloading repeats nothing; one
that was refused with its page again, saying why.  A GET has no effect: link previews open links, too.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Final, TypeVar
from urllib.parse import urlsplit

import structlog
from flask import Blueprint, Response, g, make_response, redirect, render_template, request, url_for

from identity_service import telemetry, wording
from identity_service.api.operation import services_of_app
from identity_service.api.problems import KINDS
from identity_service.codes import CodeMalformed, CodeMistyped, InviteCode, read_code
from identity_service.container import Container
from identity_service.crypto import ASSERTION_SECONDS
from identity_service.db.store import Tx
from identity_service.errors import Refused, Unavailable
from identity_service.pages import join
from identity_service.pages.hosted import visit as visits
from identity_service.pages.hosted.countries import countries, likely, text_direction
from identity_service.pages.hosted.refusals import Told, in_words, tell
from identity_service.pages.hosted.visit import Visit
from identity_service.ports import SECOND
from identity_service.proxies import CLIENT_IP, one_caller
from identity_service.services.hosted_join import Entry, Joined, Sent, Waiting, page_actor
from identity_service.services.invite_codes import refuse_code
from sms.fate import Step
from sms.typed import LONGEST_TYPED, dialled

T = TypeVar("T")
hosted: Final = Blueprint(
    "hosted",
    __name__,
    template_folder="templates",
    static_folder="static",
    static_url_path="/assets/join",
)
log = structlog.get_logger("pages")

_POLICY: Final = (
    "default-src 'none'; style-src 'self'; img-src 'self'; script-src 'self'; worker-src 'self'; "
    "connect-src 'self'; base-uri 'none'; frame-ancestors 'none'; form-action 'self'"
)
_SEE_OTHER: Final = 303
_TURNS: Final = 6
_PAUSE: Final = 0.25  # seconds, until the first of two equal forms has been carried out
_NO_CODE: Final = Refused("invite_malformed", "This is no invite code.")
_PAGE_OVER: Final = Refused("page_over", "The form belongs to another visit, or is too old.")


# -- the invite's code --------------------------------------------------------------------------------------


@hosted.get("/")
@hosted.get("/i")
def show_entry() -> Response:
    """For whom a code was told or sent without a link."""
    return _page("enter.html", typed="")


@hosted.post("/i")
def read_entry() -> Response:
    typed = request.form.get("code", "")[: 2 * LONGEST_TYPED]
    try:
        code = read_code(typed.strip())
    except CodeMistyped:
        return _refuse_entry(refuse_code(typo=True), typed)
    except CodeMalformed:
        return _refuse_entry(_NO_CODE, typed)
    return _lead(".show_phone", code)


def _refuse_entry(refused: Refused, typed: str) -> Response:
    return _page("enter.html", typed=typed, told=_tell(refused))


# -- the phone ----------------------------------------------------------------------------------------------


def show_phone(code: str) -> Response:
    """Where an invite's link leads.  The store is not asked, so nobody learns here whether a code is live."""
    found = join.parse(code)
    if found is None:
        on_page = join.read(code, "")
        told = _tell(refuse_code(typo=True) if on_page.mistyped else _NO_CODE)
        return _page("enter.html", typed=on_page.shown, told=told and replace(told, status=200))
    return _phone_page(visits.of_request(request, services_of_app(), found), found)


@hosted.post("/i/<code>/phone")
def send_phone(code: str) -> Response:
    found, services = _code(code), services_of_app()
    visit = visits.of_request(request, services, found)
    form = request.form
    try:
        token = _own_token(services, visit)
        number = services.phones.read(dialled(form.get("phone", ""), form.get("country") or None), "/phone")
        solved = form.get("altcha", "")
        entry = Entry(
            visit=visit.id,
            token=token,
            code=found,
            number=number,
            locale=_locale(),
            client_ip=_client_ip(),
            solved_challenge=services.work.solved(solved) if 0 < len(solved) <= _LONGEST_SOLUTION else None,
            needs_work=services.settings.pow == "public",
        )
        outcome = _carry_out(lambda tx: services.hosted_join.enter(tx, entry))
    except (Refused, Unavailable) as refused:
        return _phone_page(visit, found, refused)
    match outcome:
        case Sent():
            return _lead(".show_code", found, visit.sent(outcome.verification_id, outcome.masked))
        case Joined():
            return _lead(".show_welcome", found, replace(visit, joined=outcome.key, kept=False))


_LONGEST_SOLUTION: Final = 4096


def _phone_page(visit: Visit, code: InviteCode, refused: Exception | None = None) -> Response:
    services = services_of_app()
    asks = isinstance(refused, Refused) and "challenge" in refused.data
    challenge = None
    if asks or services.settings.pow == "public":
        challenge = services.work.challenge()
    country = request.form.get("country") or likely(request.accept_languages, _locale())
    listed = countries(_locale())
    return _page(
        "phone.html",
        visit,
        code=code,
        countries=listed,
        country=next((one for one in listed if one.id == country), listed[0]),
        phone=request.form.get("phone", "")[: 2 * LONGEST_TYPED],
        challenge=challenge,
        send_when_solved=asks and not request.form.get("altcha"),
        told=_tell(refused),
    )


# -- the one-time code --------------------------------------------------------------------------------------


@hosted.get("/i/<code>/code")
def show_code(code: str) -> Response:
    found = _code(code)
    visit = visits.of_request(request, services_of_app(), found)
    if not visit.verification_id:
        return _lead(".show_phone", found)
    return _code_page(visit, found)


@hosted.post("/i/<code>/code")
def send_code(code: str) -> Response:
    found, services = _code(code), services_of_app()
    visit = visits.of_request(request, services, found)
    if not visit.verification_id:
        return _phone_page(visit, found, _PAGE_OVER)
    try:
        _own_token(services, visit)
        digits = _digits(request.form.get("otp", ""))
        joined = _carry_out(
            lambda tx: services.hosted_join.check(tx, visit.verification_id, digits, found, _locale())
        )
    except (Refused, Unavailable) as refused:
        return _code_page(visit, found, refused)
    return _lead(".show_welcome", found, replace(visit, joined=joined.key, kept=False))


_LONGEST_CODE: Final = 8


def _digits(typed: str) -> str:
    """Read a one-time code.

    Raises:
        Refused: `code_malformed`; it costs no attempt.
    """
    digits = "".join(symbol for symbol in typed if symbol.isalnum())
    if not (digits.isascii() and digits.isdigit() and len(digits) <= _LONGEST_CODE):
        raise Refused("code_malformed", "A one-time code is digits.")
    return digits


@hosted.post("/i/<code>/again")
def send_again(code: str) -> Response:
    """Send the one-time code again."""
    found, services = _code(code), services_of_app()
    visit = visits.of_request(request, services, found)
    if not visit.verification_id:
        return _phone_page(visit, found, _PAGE_OVER)
    try:
        token = _own_token(services, visit)
        _carry_out(lambda tx: services.hosted_join.resend(tx, visit.verification_id, token))
    except (Refused, Unavailable) as refused:
        return _code_page(visit, found, refused)
    return _lead(".show_code", found, visit)


def _code_page(visit: Visit, code: InviteCode, refused: Exception | None = None) -> Response:
    services = services_of_app()
    try:
        waiting: Waiting = services.store.query(
            page_actor(g.request_id), lambda tx: services.hosted_join.waiting(tx, visit.verification_id)
        )
    except Unavailable as away:
        return _page("away.html", told=_tell(away))
    except Refused as gone:
        return _phone_page(visit, code, gone)
    view, now = waiting.view, services.clock.now()
    told = _tell(refused)
    if view.state == "approved" and (joined := _joined(services, visit)) is not None:
        return _lead(".show_welcome", code, replace(visit, joined=joined.key))
    if view.state == "pending":
        wait = None if view.resend_at is None else max(0, -(-(view.resend_at - now) // SECOND))
        return _page(
            "code.html",
            visit,
            code=code,
            view=view,
            hopeless=waiting.fate.advice.step is Step.START_AGAIN,
            resend_seconds=wait,
            resend_words=in_words(wait, _locale()) if wait else "",
            told=told,
        )
    if told is None or told.code in _OF_A_CODE:
        over = Refused("verification_over", "No code is waited for any more.", state=view.state)
        told = replace(_say(over), status=200 if told is None else told.status)
    return _page("over.html", visit, code=code, told=told, onward=services.settings.joined_url)


_OF_A_CODE: Final = ("code_incorrect", "code_malformed", "verification_over", "page_over")
"""Refusals that say nothing more once no code is waited for."""


# -- the member -------------------------------------------------------------------------------------------


@hosted.get("/i/<code>/welcome")
def show_welcome(code: str) -> Response:
    found, services = _code(code), services_of_app()
    visit = visits.of_request(request, services, found)
    joined = _joined(services, visit)
    if joined is None:
        return _lead(".show_phone", found)
    if visit.kept:
        return _goal_page(visit, found, joined)
    return _page("welcome.html", visit, code=found, recovery_codes=joined.recovery_codes)


@hosted.get("/i/<code>/recovery-codes.txt")
def download_codes(code: str) -> Response:
    found, services = _code(code), services_of_app()
    visit = visits.of_request(request, services, found)
    joined = _joined(services, visit)
    if joined is None or visit.kept:
        return _lead(".show_welcome", found)
    say = _words()
    lines = [say["codes.file"], "", *joined.recovery_codes, "", say["codes.how"], ""]
    file = Response("\r\n".join(lines), mimetype="text/plain")
    file.headers["Content-Disposition"] = 'attachment; filename="recovery-codes.txt"'
    return file


@hosted.post("/i/<code>/kept")
def note_kept(code: str) -> Response:
    """The member has the recovery codes: they are not shown again."""
    found, services = _code(code), services_of_app()
    visit = visits.of_request(request, services, found)
    try:
        _own_token(services, visit)
    except Refused as refused:
        return _phone_page(visit, found, refused)
    return _lead(".show_welcome", found, replace(visit, kept=True))


def _joined(services: Container, visit: Visit) -> Joined | None:
    join, actor = services.hosted_join, page_actor(g.request_id)
    if visit.joined:
        return services.store.query(actor, lambda tx: join.joined(tx, visit.joined))
    if visit.verification_id:
        return services.store.query(actor, lambda tx: join.joined_by(tx, visit.verification_id))
    return None


def _goal_page(visit: Visit, code: InviteCode, joined: Joined) -> Response:
    """Where to go on from here, with the assertion where the network takes it (docs/join-page.md)."""
    services = services_of_app()
    settings = services.settings
    fresh = services.clock.now() - joined.at < ASSERTION_SECONDS * SECOND
    hand_over = settings.joined_handover == "post" and fresh
    page = _page(
        "goal.html", visit, code=code, onward=settings.joined_url, joined=joined, hand_over=hand_over
    )
    if hand_over:
        where = urlsplit(settings.joined_url)
        page.headers["Content-Security-Policy"] = f"{_POLICY} {where.scheme}://{where.netloc}"
        # The receiver sees by `Origin` that the form is ours and no stranger's.
        page.headers["Referrer-Policy"] = "strict-origin"
    return page


# -- what all of them share -----------------------------------------------------------------------------


def _code(text: str) -> InviteCode:
    """Return the code of a page's address; the address was ours, so it is one.

    Raises:
        NotFound
    """
    found = join.parse(text)
    if found is None:
        raise Refused("not_found", "There is no such page.")
    return found


def _own_token(services: Container, visit: Visit) -> str:
    """Return the form's token, where the form is one of this visit's.

    Raises:
        Refused: `page_over`.
    """
    token = request.form.get("token", "")
    if request.headers.get("Sec-Fetch-Site", "same-origin") != "same-origin" or not visits.fits(
        services, visit, token
    ):
        raise _PAGE_OVER
    return token


def _carry_out(step: Callable[[Tx], T]) -> T:
    """Run a step in its transaction; of two equal forms at once, the second waits for the first."""
    services = services_of_app()
    for _ in range(_TURNS):
        try:
            return services.store.transact(page_actor(g.request_id), step)
        except Refused as refused:
            if refused.code != "idempotency_in_flight":
                raise
            time.sleep(_PAUSE)
    raise Refused("idempotency_in_flight", "The first form has not been carried out yet.")


def _client_ip() -> str | None:
    address = request.environ.get(CLIENT_IP)
    return None if address is None else one_caller(address)


def _locale() -> str:
    return wording.negotiate(request.accept_languages)


def _words() -> Mapping[str, str]:
    brand = services_of_app().settings.brand
    found = wording.catalogue("identity_service.pages.hosted", _locale())
    return {key: text.replace("{brand}", brand) for key, text in found.items()}


def _tell(refused: Exception | None) -> Told | None:
    match refused:
        case None:
            return None
        case Refused():
            telemetry.REFUSALS.labels(refused.code).inc()
            return _say(refused)
        case _:
            log.error("store_unavailable", error=str(refused), request_id=g.request_id)
            kind = KINDS["store_unavailable"]
            return Told(code="store_unavailable", status=kind.status, words=_words()["refused.away"])


def _say(refused: Refused) -> Told:
    return tell(refused, _words(), _locale(), services_of_app().clock.now())


def _lead(endpoint: str, code: InviteCode, visit: Visit | None = None) -> Response:
    """Redirect after a form, and let the browser keep what came of it."""
    if endpoint == ".show_phone":
        where = url_for("pages.show_invite", code=code.canonical)
    else:
        where = url_for(endpoint, code=code.canonical)
    answer = make_response(redirect(where, _SEE_OTHER))
    if visit is not None:
        visits.keep(answer, services_of_app(), visit)
    return answer


def _page(template: str, visit: Visit | None = None, told: Told | None = None, **view: Any) -> Response:
    services, locale = services_of_app(), _locale()
    page = make_response(
        render_template(
            f"hosted/{template}",
            brand=services.settings.brand,
            locale=locale,
            direction=text_direction(locale),
            say=_words(),
            told=told,
            visit=visit,
            token=None if visit is None else visits.token_for(services, visit),
            **view,
        ),
        200 if told is None else told.status,
    )
    page.headers["Content-Security-Policy"] = _POLICY
    page.headers["Content-Language"] = locale
    page.headers["Vary"] = "Accept-Language"
    page.headers["X-Robots-Tag"] = "noindex, nofollow, noarchive"
    if told is not None and told.seconds is not None:
        page.headers["Retry-After"] = str(told.seconds)
    if visit is not None and visit.fresh:
        # A page shows a state and makes none: it must not undo what another tab has just brought.
        visits.keep(page, services, visit)
    return page
