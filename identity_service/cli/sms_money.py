"""What messages cost: the prices, what is spent of the caps, and what a verified member costs."""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import rich_click as click

from identity_service.cli.command import SPAN, UNREACHABLE, Command, Topic
from identity_service.cli.output import message, print_json, print_table, progress
from identity_service.cli.session import Session, pass_session
from identity_service.cli.sms import dollars
from identity_service.ports import DAY, Instant, rfc3339
from identity_service.services.costs import By, Cost
from identity_service.services.spending import SCOPES, Spent
from sms.prices import ANY, ListedPrice, builtin_prices, micros_of, parse_prices
from sms.providers.base import ProviderFailure, TellsPrices


@click.group(cls=Topic)
def prices() -> None:
    """What one segment of a message costs, by provider and place."""


@prices.command()
@click.option("--provider", help="Only this one's.")
@click.option("--place", help="Only of this country or prefix, e.g. RU.")
@pass_session
def show(session: Session, provider: str | None, place: str | None) -> None:
    """Show the prices in force, each with its day and where it comes from."""
    listed = session.read(session.services.prices.listed)
    rows = [
        {
            "provider": one.provider,
            "place": one.place,
            "usd": dollars(one.micros),
            "as_of": one.as_of.isoformat(),
            "source": source,
        }
        for one, source in listed
        if provider in (None, one.provider) and place in (None, one.place)
    ]
    if session.as_json:
        print_json({"data": rows})
    else:
        print_table(("provider", "place", "usd", "as_of", "source"), (row.values() for row in rows))


@prices.command(name="import")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--dry-run", is_flag=True, help="Only check the file.")
@pass_session
def import_(session: Session, file: Path, dry_run: bool) -> None:
    r"""Put the prices of a CSV file in force: columns provider, place, usd, as_of.

    \b
    Example of a file:
      provider,place,usd,as_of
      twilio,RU,0.41,2026-11-20
      *,+4479,0.05,2026-11-20
    """
    try:
        listed = parse_prices(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise click.UsageError(f"{file} cannot be read ({error.strerror}).") from None
    except ValueError as error:
        raise click.UsageError(f"{file}: {error}") from None
    _keep(session, listed, file.name, dry_run=dry_run)


@prices.command()
@click.option("--provider", default="twilio", show_default=True, help="A provider of a route.")
@click.option("--country", "countries", multiple=True, help="Only this one; repeatable.")
@click.option("--dry-run", is_flag=True, help="Ask, and put nothing in force.")
@click.pass_context
@pass_session
def refresh(
    session: Session, ctx: click.Context, provider: str, countries: tuple[str, ...], dry_run: bool
) -> None:
    """Ask a provider for its prices, and put them in force.  Exit code 3 where it did not answer for some."""
    asked: object = session.services.providers.get(provider)
    if not isinstance(asked, TellsPrices):
        raise click.UsageError(f"{provider} is no provider of a route that tells its prices.")
    wanted = countries or tuple(
        one.place for one in builtin_prices() if one.place != ANY and not one.place.startswith("+")
    )
    found, silent = _ask(session, asked, provider, wanted)
    _keep(session, found, f"{provider}'s price list", dry_run=dry_run)
    if silent:
        message(f"No price for {', '.join(silent)}.")
        ctx.exit(UNREACHABLE)


def _ask(
    session: Session, asked: TellsPrices, provider: str, countries: tuple[str, ...]
) -> tuple[list[ListedPrice], list[str]]:
    today = datetime.fromtimestamp(session.services.clock.now() / 1_000_000, UTC).date()
    found: list[ListedPrice] = []
    silent: list[str] = []
    with progress("Countries", len(countries)) as bar:
        for country in countries:
            try:
                price = asked.price_in(country)
            except ProviderFailure:
                price = None
            if price is None or price.currency != "USD":
                silent.append(country)
            else:
                found.append(_listed(provider, country, price.amount, today))
            bar(1)
    return found, silent


def _listed(provider: str, country: str, amount: Any, today: date) -> ListedPrice:
    return ListedPrice(provider=provider, place=country, micros=micros_of(amount), as_of=today)


def _keep(session: Session, listed: list[ListedPrice], source: str, *, dry_run: bool) -> None:
    kept = session.services.prices.keep
    count = session.run(lambda tx: kept(tx, listed, source), dry_run=dry_run)
    if session.as_json:
        print_json({"count": count, "source": source, "dry_run": dry_run})
    message(f"Prices: {count}{' (a dry run: nothing was changed)' if dry_run else ''}.")
    used = {ANY, *session.services.settings.providers}
    for provider in sorted({one.provider for one in listed} - used):
        message(f"No route names {provider}: its prices wait until one does.")


@click.command(cls=Command)
@click.option("--scope", type=click.Choice(SCOPES), help="Only these.")
@click.option("--limit", default=50, show_default=True, type=click.IntRange(1, 10_000))
@pass_session
def spend(session: Session, scope: str | None, limit: int) -> None:
    """Show what was spent in the last hour and day against the caps, in dollars; a prefix is a keyed hash."""
    found = session.read(session.services.spending.now)
    rows = [_spent(one) for one in found if scope in (None, one.scope)][:limit]
    if session.as_json:
        print_json({"data": rows})
        return
    columns = ("scope", "subject", "hour", "hour_cap", "day", "day_cap", "hour_own", "day_own")
    print_table(columns, ([row[name] for name in columns] for row in rows))


def _spent(one: Spent) -> dict[str, Any]:
    return {
        "scope": one.scope,
        "subject": one.subject or None,
        "hour": dollars(one.hour),
        "hour_own": dollars(one.hour_own),
        "hour_cap": dollars(one.hour_cap),
        "day": dollars(one.day),
        "day_own": dollars(one.day_own),
        "day_cap": dollars(one.day_cap),
    }


@click.command(cls=Command)
@click.option(
    "--by", default=By.COUNTRY.value, show_default=True, type=click.Choice([one.value for one in By])
)
@click.option("--last", default="30d", show_default=True, type=SPAN, help="So far back, in whole days.")
@pass_session
def costs(session: Session, by: str, last: Instant) -> None:
    r"""Show what messages cost, and what a verified member costs.

    Expected prices of the messages that providers took.  A verified member is a registration's code, or an
    SMS invite's, that came back.

    \b
    Example:
      identity sms costs --by campaign --last 7d
    """
    now = session.services.clock.now()
    found = session.read(
        lambda tx: session.services.costs.by(tx, By(by), since=max(0, now - last + DAY), until=now + DAY)
    )
    rows = [_cost(by, one) for one in found]
    if session.as_json:
        print_json({"by": by, "data": rows})
        return
    columns = (by, "messages", "segments", "cost", "came_back", "verified", "per_verified")
    print_table(columns, ([row[name] for name in columns] for row in rows))


def _cost(by: str, one: Cost) -> dict[str, Any]:
    of = rfc3339(int(one.of))[:10] if by == By.DAY.value else one.of or None
    return {
        by: of,
        "messages": one.messages,
        "segments": one.segments,
        "cost": dollars(one.cost),
        "came_back": one.came_back,
        "verified": one.verified,
        "per_verified": dollars(one.per_verified),
    }
