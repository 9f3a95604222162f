"""What is known when a message is about to be sent: counts, frozen."""

from __future__ import annotations

from dataclasses import dataclass, field

from sms.guard.climate import Climate


@dataclass(frozen=True, kw_only=True, slots=True)
class Tally:
    """The last messages to one unit, each phone counted once for as long as it has not answered.

    `good`: the code came back.  `bad`: the code's life ended and nothing came back.  `open`: it may still
    come.  Messages of an outage are in none of them.
    """

    good: int = 0
    bad: int = 0
    open: int = 0

    @property
    def judged(self) -> int:
        return self.good + self.bad


@dataclass(frozen=True, kw_only=True, slots=True)
class Evidence:
    """All that is judged about one message.

    `phone` counts messages to the phone itself, resends included; `hundred` counts the hundred numbers
    that differ in the last two digits.  `inviter` and `branch` are None where no member invited, `campaign`
    where no campaign did; it counts what the campaign did in the message's country.
    """

    climate: Climate
    prefix: Tally = field(default_factory=Tally)
    range: Tally = field(default_factory=Tally)
    hundred: Tally = field(default_factory=Tally)
    phone: Tally = field(default_factory=Tally)
    inviter: Tally | None = None
    branch: Tally | None = None
    campaign: Tally | None = None
