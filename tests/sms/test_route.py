"""Routes: read strictly, and every choice has its reason."""

import pytest

from sms.numbers import E164
from sms.providers.null import NullProvider
from sms.route import ChoiceReason, SkipReason, choose, draw, parse_route, parse_routes


class NamedNull(NullProvider):
    """A null provider of any name."""

    def __init__(self, name: str) -> None:
        self._name = name

    @property
    def name(self) -> str:
        return self._name


PROVIDERS = {name: NamedNull(name) for name in ("twilio", "vonage", "webhook")}
ROUTE = ("twilio", "vonage", "webhook")


def chosen(*tried: str) -> tuple[str | None, ChoiceReason, tuple[str, ...]]:
    choice = choose(ROUTE, PROVIDERS, tried=tried)
    assert {one.reason for one in choice.skipped} <= {SkipReason.TRIED}
    skipped = tuple(one.name for one in choice.skipped)
    return (choice.provider.name if choice.provider else None), choice.reason, skipped


def test_the_first_of_the_route_sends_first() -> None:
    assert chosen() == ("twilio", ChoiceReason.FIRST_IN_ROUTE, ())


def test_what_was_tried_is_skipped_and_the_choice_says_so() -> None:
    assert chosen("twilio") == ("vonage", ChoiceReason.EARLIER_TRIED, ("twilio",))
    assert chosen("vonage") == ("twilio", ChoiceReason.FIRST_IN_ROUTE, ())
    assert chosen("twilio", "vonage") == ("webhook", ChoiceReason.EARLIER_TRIED, ("twilio", "vonage"))


def test_when_all_were_tried_none_is_chosen() -> None:
    assert chosen(*ROUTE) == (None, ChoiceReason.EXHAUSTED, ROUTE)


def test_a_provider_outside_the_route_is_not_chosen() -> None:
    assert choose(("vonage",), PROVIDERS, tried=("vonage",)).provider is None


def test_a_route_to_a_provider_that_is_not_configured_is_loud() -> None:
    with pytest.raises(KeyError, match="carrier_pigeon"):
        choose(("carrier_pigeon",), PROVIDERS)


@pytest.mark.parametrize(
    ("setting", "route"),
    [
        ("inbox", ("inbox",)),
        ("twilio,vonage", ("twilio", "vonage")),
        (" twilio , vonage ", ("twilio", "vonage")),
        ("twilio|vonage,webhook", ("twilio", "vonage", "webhook")),
    ],
)
def test_a_setting_is_read_in_order(setting: str, route: tuple[str, ...]) -> None:
    assert parse_route(setting).names == route


@pytest.mark.parametrize(
    "setting",
    [
        "",
        ",",
        "twilio,",
        "twilio,,vonage",
        "Twilio",
        "twilio vonage",
        "twilio,twilio",
        "tẃilio",
        "|",
        "twilio|twilio",
        "twilio|,vonage",
    ],
)
def test_a_setting_that_is_no_route_is_refused(setting: str) -> None:
    with pytest.raises(ValueError, match="route"):
        parse_route(setting)


# -- routes of places -----------------------------------------------------------------------------------

ROUTES = parse_routes("RU=webhook,twilio; +4479=vonage,twilio; GB=twilio;+44791=webhook", default="twilio")


@pytest.mark.parametrize(
    ("number", "country", "route"),
    [
        ("+79161234567", "RU", ("webhook", "twilio")),
        ("+77011234567", "KZ", ("twilio",)),
        ("+447700900123", "GB", ("twilio",)),
        ("+447922123456", "GB", ("vonage", "twilio")),
        ("+447911123456", "GB", ("webhook",)),
    ],
)
def test_the_longest_prefix_wins_then_the_country_then_the_default(
    number: str, country: str, route: tuple[str, ...]
) -> None:
    assert ROUTES.of(E164(number), country).names == route


def test_every_provider_that_is_named_anywhere_is_needed() -> None:
    assert set(ROUTES.providers) == {"twilio", "webhook", "vonage"}
    assert parse_routes("", default="inbox").providers == ("inbox",)


@pytest.mark.parametrize(
    ("setting", "part"),
    [
        ("RU", "RU"),
        ("RU=", "RU="),
        ("RU=twilio; ru=vonage", "ru"),
        ("XX=twilio", "XX"),
        ("+0=twilio", r"\+0"),
        ("+44x=twilio", r"\+44x"),
        ("RU=twilio,twilio", "RU=twilio,twilio"),
        ("RU=twilio; RU=vonage", "RU"),
        ("=twilio", "=twilio"),
    ],
)
def test_a_wrong_part_of_the_routes_is_named(setting: str, part: str) -> None:
    with pytest.raises(ValueError, match=part):
        parse_routes(setting, default="twilio")


def test_a_numbers_place_is_the_prefix_that_has_a_route_of_its_own_or_its_country() -> None:
    places = [
        (number, ROUTES.place_of(E164(number), "GB"), ROUTES.written_for(E164(number), "GB"))
        for number in ("+447911123456", "+447922123456", "+447700900123")
    ]
    assert [place for _, place, _ in places] == ["+44791", "+4479", "GB"]
    assert [whose for _, _, whose in places] == ["+44791", "+4479", "GB"]
    assert (ROUTES.place_of(E164("+33612345678"), "FR"), ROUTES.written_for(E164("+33612345678"), "FR")) == (
        "FR",
        None,
    )


# -- equal ranks, in order by price ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("prices", "order"),
    [
        ({"twilio": 5, "vonage": 4, "webhook": 1}, ("vonage", "twilio", "webhook")),
        ({"twilio": 4, "vonage": 4, "webhook": 1}, ("twilio", "vonage", "webhook")),
        ({"vonage": 9, "webhook": 1}, ("vonage", "twilio", "webhook")),
        ({}, ("twilio", "vonage", "webhook")),
    ],
)
def test_the_cheaper_of_a_rank_comes_first_and_no_price_lifts_a_provider_over_a_rank(
    prices: dict[str, int], order: tuple[str, ...]
) -> None:
    assert parse_route("twilio|vonage,webhook").ordered(prices.get) == order


def test_a_choice_that_the_price_made_says_so() -> None:
    route = ("vonage", "twilio", "webhook")
    moved = choose(route, PROVIDERS, written=ROUTE)
    assert (moved.provider, moved.reason) == (PROVIDERS["vonage"], ChoiceReason.CHEAPEST_OF_RANK)
    assert choose(ROUTE, PROVIDERS, written=ROUTE).reason is ChoiceReason.FIRST_IN_ROUTE
    assert choose(route, PROVIDERS, written=ROUTE, tried=["vonage"]).reason is ChoiceReason.EARLIER_TRIED


# -- full, and away -------------------------------------------------------------------------------------


def test_a_full_provider_is_passed_over_for_one_that_is_well() -> None:
    choice = choose(ROUTE, PROVIDERS, full=["twilio"])
    assert (choice.provider, choice.reason) == (PROVIDERS["vonage"], ChoiceReason.EARLIER_FULL)
    assert [(one.name, one.reason) for one in choice.skipped] == [("twilio", SkipReason.FULL)]


def test_a_message_waits_for_a_full_provider_rather_than_go_to_one_that_is_not_well() -> None:
    """Fault: a rush fills the one good provider, and everything else goes to the one in an outage."""
    ill = {"vonage": 1e-9, "webhook": 1e-9}
    assert choose(ROUTE, PROVIDERS, full=["twilio"], shares=ill).provider is PROVIDERS["twilio"]
    assert choose(ROUTE, PROVIDERS, full=ROUTE).provider is PROVIDERS["twilio"], "the first line is joined"


def test_one_that_asked_for_patience_is_the_last_resort() -> None:
    choice = choose(ROUTE, PROVIDERS, away=["twilio"])
    assert (choice.provider, choice.reason) == (PROVIDERS["vonage"], ChoiceReason.EARLIER_AWAY)
    left = choose(ROUTE, PROVIDERS, away=["twilio"], tried=["vonage"], shares={"webhook": 1e-9})
    assert (left.provider, left.reason) == (PROVIDERS["webhook"], ChoiceReason.LEAST_UNWELL)
    assert choose(ROUTE, PROVIDERS, away=ROUTE).provider is not None


# -- how well they are ----------------------------------------------------------------------------------


def test_a_provider_that_is_not_well_gets_its_share_and_no_more() -> None:
    shares = {"twilio": 0.05}
    choices = [choose(ROUTE, PROVIDERS, shares=shares, seed=f"msg_{n}.1") for n in range(2000)]
    by_name = [choice.provider.name for choice in choices if choice.provider is not None]
    assert 60 <= by_name.count("twilio") <= 140
    reasons = {choice.provider.name: choice.reason for choice in choices if choice.provider}
    assert reasons == {"twilio": ChoiceReason.PROBE, "vonage": ChoiceReason.EARLIER_UNWELL}


def test_the_same_attempt_is_routed_the_same_way_again() -> None:
    shares = {"twilio": 0.5, "vonage": 0.5}
    first = [choose(ROUTE, PROVIDERS, shares=shares, seed=str(n)) for n in range(50)]
    assert first == [choose(ROUTE, PROVIDERS, shares=shares, seed=str(n)) for n in range(50)]
    assert 0 <= draw("a", "b") < 1


def test_where_none_is_well_the_best_of_them_sends() -> None:
    choice = choose(ROUTE, PROVIDERS, shares={"twilio": 1e-9, "vonage": 2e-9, "webhook": 1e-9})
    assert choice.provider is PROVIDERS["vonage"]
    assert choice.reason is ChoiceReason.LEAST_UNWELL


def test_what_was_tried_is_no_choice_even_where_the_rest_is_unwell() -> None:
    choice = choose(ROUTE, PROVIDERS, tried=("vonage", "webhook"), shares={"twilio": 1e-9})
    assert choice.provider is PROVIDERS["twilio"]
