"""Routes: read strictly, and every choice has its reason."""

import pytest

from sms.providers.null import NullProvider
from sms.route import ChoiceReason, choose, parse_route


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
    return (choice.provider.name if choice.provider else None), choice.reason, choice.skipped


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
    ],
)
def test_a_setting_is_read_in_order(setting: str, route: tuple[str, ...]) -> None:
    assert parse_route(setting) == route


@pytest.mark.parametrize(
    "setting", ["", ",", "twilio,", "twilio,,vonage", "Twilio", "twilio vonage", "twilio,twilio", "tẃilio"]
)
def test_a_setting_that_is_no_route_is_refused(setting: str) -> None:
    with pytest.raises(ValueError, match="route"):
        parse_route(setting)
