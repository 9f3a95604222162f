"""The stand-in, and a service that sends to it, on both stores."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from tests.delivery.rig import Rig, twilio_settings
from tests.standins.twilio import TwilioStandIn
from tests.support.world import World


@pytest.fixture
def twilio() -> Iterator[TwilioStandIn]:
    with TwilioStandIn() as standin:
        yield standin


@pytest.fixture
def rig(new_world: Callable[..., World], twilio: TwilioStandIn) -> Rig:
    return Rig(new_world(**twilio_settings(twilio.base_url)), twilio)
