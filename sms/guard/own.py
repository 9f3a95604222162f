"""Messages to numbers that members are expected to own: login and recovery.

Anyone may ask for one to any number, and only where a member has it is anything sent.  So nothing that only
an owner can do may be seen in the answer: asked messages are counted, never answers.  And nothing is ever
blocked: many calls about a number would lock its owner out.  What is left is a proof of work; how often a
phone is written to is the budgets' affair.
"""

from __future__ import annotations

from dataclasses import dataclass

from sms.guard.thresholds import Thresholds


@dataclass(frozen=True, kw_only=True, slots=True)
class Asked:
    """What was asked for, whether or not it was sent or answered.

    `phone` counts a day's messages to the phone, `hundred` a day's phones among its neighbours, `prefix` and
    `range` the phones of the last minutes.
    """

    phone: int = 0
    hundred: int = 0
    prefix: int = 0
    range: int = 0


def needs_work(asked: Asked, thresholds: Thresholds) -> bool:
    """Say whether the next message needs a proof of work: where a block would be near for other messages."""
    return (
        asked.phone >= thresholds.resends_work
        or asked.hundred >= thresholds.adjacent_work
        or asked.prefix >= (thresholds.prefix_open + 1) // 2
        or asked.range >= (thresholds.range_open + 1) // 2
    )
