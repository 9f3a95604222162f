"""Sentences that remember what they were made of.

The pure packages speak English.  A face that speaks another language needs the sentence before its numbers
were filled in: that is its key, and the numbers are written anew.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType


class Said(str):
    """An English sentence, its template and the values in it.

    Examples
    --------
    >>> said = Said("{n} of {all} came back", n=3, all=7)
    >>> said, said.template, dict(said.values)
    ('3 of 7 came back', '{n} of {all} came back', {'n': 3, 'all': 7})
    """

    template: str
    values: Mapping[str, int | float]

    def __new__(cls, template: str, **values: float) -> Said:
        said = super().__new__(cls, template.format(**values))
        said.template, said.values = template, MappingProxyType(values)
        return said
