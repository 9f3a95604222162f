"""The pumping guard: nobody earns money by making us send messages, and honest people are not in its way.

Pure judgement over frozen evidence.  Who counts the evidence, and where it is kept, is not known here; what
is decided is told with each value and the threshold that it met.
"""

from sms.guard.beta import share_below
from sms.guard.blocks import Ended, Standing, Turn, grade_of, turn_of
from sms.guard.climate import Climate, Rates, climate_of
from sms.guard.evidence import Evidence, Tally
from sms.guard.own import Asked, needs_work
from sms.guard.signals import (
    Answer,
    Finding,
    Signal,
    Verdict,
    is_known,
    is_proven,
    is_vouched,
    judge,
)
from sms.guard.thresholds import Thresholds
from sms.guard.units import Unit, Units, units_of

__all__ = [
    "Answer",
    "Asked",
    "Climate",
    "Ended",
    "Evidence",
    "Finding",
    "Rates",
    "Signal",
    "Standing",
    "Tally",
    "Thresholds",
    "Turn",
    "Unit",
    "Units",
    "Verdict",
    "climate_of",
    "grade_of",
    "is_known",
    "is_proven",
    "is_vouched",
    "judge",
    "needs_work",
    "share_below",
    "turn_of",
    "units_of",
]
