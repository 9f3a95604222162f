"""The null provider: the contract, with nothing on the far side."""

import pytest

from sms.providers.null import NullProvider
from sms.states import DeliveryState
from tests.sms.provider_contract import ProviderContract, Rig, outgoing


class TestNullKeepsTheContract(ProviderContract):
    delivers = False
    repeats_are_one_message = True

    @pytest.fixture
    def rig(self) -> Rig:
        return Rig(provider=NullProvider(), arrived=list)


def test_it_never_claims_that_anything_was_delivered() -> None:
    assert NullProvider().send(outgoing()).state is DeliveryState.SENT
