"""Countries that renumbered: the old spelling of a number and today's are one number.

Only changes whose rule is a function of the old digits stand here, and only where the old form
can not be a number of today's plan, or is still "valid" to phonenumbers beside the new one
(Gabon, The Gambia, Liberia), which would let one subscriber join under two numbers. Each rule
names its date and who decided it; ITU Operational Bulletins carry them all. An operator without a
rule here keeps its numbers: a wrong guess would send one person's code to another's phone.

Adding a rule changes the canonical form of numbers that are already stored. Ship it together with
a rewrite of their look-up index.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, kw_only=True, slots=True)
class Renumbering:
    """One country's change: where the old form matches, the prefix is replaced.

    `old` matches the whole number; its groups are `lead` (the digits that decide) and `rest`.
    `leads` maps each `lead` to what stands there today.
    """

    year: int
    old: re.Pattern[str]
    leads: Mapping[str, str]


def _prefixed(before: str, digits: str) -> dict[str, str]:
    return {digit: before + digit for digit in digits}


# The second of the old eight digits told the operator: Moov 01, MTN 05, Orange 07.
_IVORIAN_OPERATOR = ("01", "01", "01", "01", "05", "05", "05", "07", "07", "07")
_IVORIAN = {
    f"{first}{second}": f"{operator}{first}{second}"
    for first in "0456789"
    for second, operator in enumerate(_IVORIAN_OPERATOR)
}


RENUMBERINGS: Final[Mapping[str, Renumbering]] = {
    # Benin, 30 November 2024 (ARCEP Bénin): 01 before every eight-digit number.
    "229": Renumbering(
        year=2024,
        old=re.compile(r"\+229(?P<lead>[2-9])(?P<rest>\d{7})", re.ASCII),
        leads=_prefixed("01", "23456789"),
    ),
    # Côte d'Ivoire, 31 January 2021 (ARTCI): 01, 05 or 07 before mobiles, by operator.
    "225": Renumbering(
        year=2021,
        old=re.compile(r"\+225(?P<lead>[04-9]\d)(?P<rest>\d{6})", re.ASCII),
        leads=_IVORIAN,
    ),
    # Gabon, 15 November 2019, old form switched off 6 April 2024 (ARCEP Gabon): 02 05 06 became 62
    # 65 66, 04 and 07 became 74 and 77, 01 became 11. The old form was dialled from abroad with
    # and without its 0, and phonenumbers still takes all three for valid: three members, one phone.
    "241": Renumbering(
        year=2019,
        old=re.compile(r"\+241(?P<lead>0?[124-7])(?P<rest>\d{6})", re.ASCII),
        leads={
            f"{zero}{lead}": f"{operator}{lead}"
            for zero in ("", "0")
            for lead, operator in {"1": "1", "2": "6", "5": "6", "6": "6", "4": "7", "7": "7"}.items()
        },
    ),
    # The Gambia, 4 September 2026, old form until 30 November 2026 (PURA): 87, 83 or 86, by
    # operator, before seven-digit mobiles (42 to 49 and 54 to 57 are landlines). Gamcel (9) keeps
    # seven digits and has no rule here until it moves. phonenumbers takes both forms for valid.
    "220": Renumbering(
        year=2026,
        old=re.compile(r"\+220(?P<lead>[2367]|4(?=[01])|5(?=[0-389]))(?P<rest>\d{6})", re.ASCII),
        leads={"2": "872", "4": "874", "7": "877", "3": "833", "5": "835", "6": "866"},
    ),
    # Liberia, 19 September 2013 (LTA): 05 became 0555. phonenumbers takes both forms for valid.
    "231": Renumbering(
        year=2013,
        old=re.compile(r"\+231(?P<lead>5)(?P<rest>\d{6})", re.ASCII),
        leads={"5": "555"},
    ),
    # Cameroon, 21 November 2014 (ART): 6 before eight-digit mobiles.
    "237": Renumbering(
        year=2014,
        old=re.compile(r"\+237(?P<lead>[5-79])(?P<rest>\d{7})", re.ASCII),
        leads=_prefixed("6", "5679"),
    ),
    # Mexico, 3 August 2019 (IFT): the 1 between country code and mobile number is gone.
    "52": Renumbering(
        year=2019,
        old=re.compile(r"\+52(?P<lead>1)(?P<rest>[2-9]\d{9})", re.ASCII),
        leads={"1": ""},
    ),
    # Viet Nam, 15 September to 14 November 2018 (MIC): eleven-digit mobiles became ten-digit.
    "84": Renumbering(
        year=2018,
        old=re.compile(r"\+84(?P<lead>1\d\d)(?P<rest>\d{7})", re.ASCII),
        leads={
            "120": "70", "121": "79", "122": "77", "126": "76", "128": "78",
            "123": "83", "124": "84", "125": "85", "127": "81", "129": "82",
            "162": "32", "163": "33", "164": "34", "165": "35", "166": "36",
            "167": "37", "168": "38", "169": "39",
            "186": "56", "188": "58", "199": "59",
        },
    ),
    # Brazil, 2012 to 6 November 2016, area by area (Anatel): 9 before eight-digit mobiles. 70 and
    # 77 to 79 were trunked radio, which kept eight digits.
    "55": Renumbering(
        year=2016,
        old=re.compile(r"\+55(?P<lead>[1-9][1-9](?:[689]|7(?=[1-6])))(?P<rest>\d{7})", re.ASCII),
        leads={f"{a}{b}{c}": f"{a}{b}9{c}" for a in "123456789" for b in "123456789" for c in "6789"},
    ),
}  # fmt: skip


def current_form(number: str) -> str:
    """Rewrite an old spelling into today's; any other number comes back as it is.

    Parameters
    ----------
    number
        ASCII `+` and digits. Need not be valid.

    Examples
    --------
    >>> current_form("+5215512345678")
    '+525512345678'
    >>> current_form("+14155552671")
    '+14155552671'
    """
    # Country codes are prefix-free, so at most one of the two lengths is in the table.
    renumbering = RENUMBERINGS.get(number[1:3]) or RENUMBERINGS.get(number[1:4])
    if renumbering is None:
        return number
    match = renumbering.old.fullmatch(number)
    if match is None or match["lead"] not in renumbering.leads:
        return number
    return number[: match.start("lead")] + renumbering.leads[match["lead"]] + match["rest"]
