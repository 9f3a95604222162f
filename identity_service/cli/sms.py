"""Messages on their way: what happened to them, how the routes are, what they cost."""

from __future__ import annotations

from typing import Any, Final

import rich_click as click

from identity_service.cli.command import Topic
from identity_service.cli.output import message, print_fields, print_json, print_table
from identity_service.cli.session import Session, pass_session
from identity_service.db.store import Tx
from identity_service.errors import not_found
from identity_service.ports import SECOND, rfc3339, rfc3339_or_none
from identity_service.services.routing import ANY, Candidate
from identity_service.services.timeline import Story
from sms.health import Condition, Vitals
from sms.numbers import mask


@click.group(cls=Topic)
def sms() -> None:
    """Messages on their way: what happened to them, how the routes are, what they cost."""


@sms.command()
@click.argument("id_", metavar="ID")
@pass_session
def timeline(session: Session, id_: str) -> None:
    r"""Tell everything that happened to a message, or to all about an invite, a verification or a member.

    \b
    Examples:
      identity sms timeline msg_…
      identity sms timeline inv_… --json
    """
    stories = session.read(lambda tx: _find(session, tx, id_))
    if session.as_json:
        print_json({"data": [story_shape(story) for story in stories]})
        return
    for story in stories:
        print_fields(summary(story))
        click.echo()
        print_table(
            ("at", "what", "attempt", "provider", "why", "ms", "code", "words"),
            (
                (
                    rfc3339(entry.at),
                    entry.what.value,
                    entry.attempt,
                    entry.provider,
                    entry.why,
                    entry.took_ms,
                    entry.provider_code,
                    entry.words,
                )
                for entry in story.entries
            ),
        )
        click.echo()


@sms.group()
def route() -> None:
    """Which provider a message goes to."""


@route.command()
@click.argument("phone")
@pass_session
def explain(session: Session, phone: str) -> None:
    r"""Tell which provider a message to PHONE would go to now, and why.

    \b
    Example:
      identity sms route explain +447911123456
    """
    services = session.services
    number = services.phones.read(phone, "/phone")
    told = session.read(lambda tx: services.routing.explain(tx, number.e164, number.country, seed=""))
    choice = told.choice
    passed_over = {one.name: one.reason.value for one in choice.skipped}
    chosen = None if choice.provider is None else choice.provider.name
    candidates = [_candidate(one, passed_over, chosen) for one in told.candidates]
    if session.as_json:
        print_json(
            {
                "phone": mask(number.e164),
                "country": number.country,
                "place": told.place,
                "route_of": told.written_for,
                "candidates": candidates,
                "choice": chosen,
                "reason": choice.reason.value,
            }
        )
        return
    print_table(tuple(candidates[0]), (one.values() for one in candidates))
    route_of = f"the route of {told.written_for}" if told.written_for else "the default route"
    message(f"{mask(number.e164)} ({number.country}), {route_of}: {chosen}, {choice.reason.value}.")


def _candidate(one: Candidate, passed_over: dict[str, str], chosen: str | None) -> dict[str, Any]:
    health = dict.fromkeys(_HEALTH) if one.vitals is None else _health(one.vitals)
    return {
        "provider": one.name,
        **health,
        "price": None if one.price is None else dollars(one.price.micros),
        "share": one.share,
        "chosen": one.name == chosen,
        "passed_over": passed_over.get(one.name),
    }


_HEALTH: Final = ("condition", "because", "errors", "undelivered", "codes", "ms")


def _health(vitals: Vitals) -> dict[str, Any]:
    """Return rates where there is anything to take them from."""
    answers, receipts, codes = vitals.answers, vitals.receipts, vitals.codes
    shown = (
        vitals.condition.value,
        vitals.because and vitals.because.value,
        answers.bad / answers.n if answers.n > 0.1 else None,
        receipts.bad / receipts.n if receipts.n > 0.1 else None,
        codes.good / codes.n if codes.n > 0.1 else None,
        round(vitals.took_ms) if answers.n else None,
    )
    return dict(zip(_HEALTH, shown, strict=True))


@sms.command()
@click.option(
    "--country",
    "wanted",
    metavar="PLACE",
    help="Only this one, e.g. RU, or a prefix with its own route.",
)
@click.option("--unwell", is_flag=True, help="Only who is not well.")
@pass_session
def health(session: Session, wanted: str | None, unwell: bool) -> None:
    """Tell how well each provider serves each country, and each prefix with a route of its own."""
    known = session.read(session.services.routing.vitals)
    rows = [
        {
            "provider": provider,
            "country": place,
            **_health(vitals),
            "share": vitals.share,
            "since": rfc3339(int(vitals.since * SECOND)),
        }
        for (provider, place), vitals in sorted(known.items())
        if provider != ANY
        and wanted in (None, place)
        and (not unwell or vitals.condition is not Condition.WELL)
    ]
    if session.as_json:
        print_json({"data": rows})
    else:
        print_table(("provider", "country", *_HEALTH, "share", "since"), (row.values() for row in rows))


def _find(session: Session, tx: Tx, id_: str) -> list[Story]:
    told = session.services.timeline
    if id_.startswith("msg_"):
        story = told.of_message(tx, id_)
        found = [] if story is None else [story]
    else:
        found = told.of_subject(tx, id_)
    if not found:
        raise not_found("message")
    return found


def summary(story: Story) -> dict[str, Any]:
    """Return what a message is, without its story."""
    return {
        "id": story.id,
        "subject_id": story.subject_id,
        "kind": story.kind,
        "phone": story.masked,
        "country": story.country,
        "state": story.state,
        "reason": story.reason,
        "provider": story.provider,
        "attempts": story.attempts,
        "segments": story.segments,
        "cost": dollars(story.cost),
        "charged": dollars(story.charged),
        "created_at": rfc3339(story.created_at),
        "updated_at": rfc3339(story.updated_at),
        "came_back_at": rfc3339_or_none(story.came_back_at),
    }


def dollars(micros: int | None) -> float | None:
    """Return millionths of a dollar as dollars."""
    return None if micros is None else micros / 1_000_000


def story_shape(story: Story) -> dict[str, Any]:
    timeline = [
        {
            "at": rfc3339(entry.at),
            "what": entry.what.value,
            "words": entry.words,
            "attempt": entry.attempt,
            "provider": entry.provider,
            "confirmed_by": entry.confirmed_by and entry.confirmed_by.value,
            "failure": entry.failure and entry.failure.value,
            "provider_code": entry.provider_code,
            "why": entry.why,
            "took_ms": entry.took_ms,
        }
        for entry in story.entries
    ]
    return summary(story) | {"timeline": timeline}
