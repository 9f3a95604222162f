"""What differs between two policy files, rule by rule, in the words of the files."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

_HEADER: Final = re.compile(r"\s*\[\[?\s*([A-Za-z0-9_.-]+)\s*\]\]?")
_KEY: Final = re.compile(r"\s*([A-Za-z0-9_-]+)\s*=")


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One rule that differs; `before` or `after` is None where the rule is new or gone."""

    rule: str
    before: str | None
    after: str | None


def changes(before: str, after: str) -> tuple[Change, ...]:
    r"""Return every rule that differs between two policy files (valid TOML), in the order of the files.

    Examples:
        >>> changes('[invites]\nhold = "30m"', '[invites]\nhold = "1h"')
        (Change(rule='invites.hold', before='"30m"', after='"1h"'),)
    """
    old, new = dict(_flat(tomllib.loads(before))), dict(_flat(tomllib.loads(after)))
    return tuple(
        Change(rule=rule, before=old.get(rule), after=new.get(rule))
        for rule in dict.fromkeys([*new, *old])
        if rule != "version" and old.get(rule) != new.get(rule)
    )


def _flat(table: Mapping[str, Any], path: str = "") -> Iterator[tuple[str, str]]:
    """Yield each rule's dotted name and value.  Levels stand under their names, not under their places."""
    for name, value in table.items():
        match value:
            case dict():
                yield from _flat(value, f"{path}{name}.")
            case [dict(), *_]:
                yield f"{path}{name}", json.dumps([row.get("name") for row in value])
                for row in value:
                    yield from _flat(row, f"{path}{name}.{row.get('name')}.")
            case _:
                yield f"{path}{name}", json.dumps(value, ensure_ascii=False, default=str)


def line_of(text: str, location: tuple[int | str, ...]) -> int | None:
    """Return the line of a policy file (from 1) at which a rule stands, or its table where it is missing."""
    wanted, found, table, turn = [str(part) for part in location], None, [""], -1
    array = [part for part in location if isinstance(part, int)]
    names = [str(part) for part in location if not isinstance(part, int)]
    for number, line in enumerate(text.splitlines(), 1):
        if header := _HEADER.match(line):
            table = header[1].split(".")
            turn += line.lstrip().startswith("[[") and table == names[: len(table)]
            if table == names[: len(table)] and (not array or turn == array[0]):
                found = number
        elif key := _KEY.match(line):
            here = [*(part for part in table if part), key[1]]
            if here == names[: len(here)] and (not array or len(wanted) == 1 or turn == array[0]):
                return number
    return found
