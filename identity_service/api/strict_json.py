"""JSON as strictly as an identity service needs it: one reading, and nothing that cannot be stored."""

from __future__ import annotations

import json
import math
from typing import Any, Final

from identity_service.errors import Refused

MAX_BYTES: Final = 64 * 1024
MAX_DEPTH: Final = 32
_EXACT: Final = 2**53  # beyond it a float is no exact integer


def loads(body: bytes) -> Any:
    """Parse a body.

    Raises:
        Refused: `json_malformed`, `json_duplicate_key`, `json_not_a_number`, `json_nul`, `json_too_deep`.
    """
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError:
        raise Refused("json_malformed", "The body is not UTF-8.") from None
    if text.count("[") + text.count("{") > MAX_DEPTH and _depth(text) > MAX_DEPTH:
        raise Refused("json_too_deep", f"At most {MAX_DEPTH} levels of nesting are read.")
    try:
        value = json.loads(text, object_pairs_hook=_object, parse_constant=_constant, parse_float=_float)
    except (ValueError, RecursionError):
        raise Refused("json_malformed", "The body is not valid JSON.") from None
    # Only an escape or a raw control character can bring in what no store keeps; look closer only then.
    if "\\u" in text or "\x00" in text:
        _check_text(value)
    return value


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise Refused("json_duplicate_key", "An object names the same key twice.")
    return found


def _constant(name: str) -> Any:
    raise Refused("json_not_a_number", f"{name} is not JSON.")


def _float(text: str) -> float | int:
    value = float(text)
    if not math.isfinite(value):
        raise Refused("json_not_a_number", "A number is too large.")
    # To JSON Schema, and so to our description, 1.0 is an integer: some languages write all numbers so.
    return int(value) if value.is_integer() and abs(value) < _EXACT else value


def _check_text(value: Any) -> None:
    """Refuse NUL and lone surrogates anywhere, keys included."""
    match value:
        case str():
            if "\x00" in value or any("\ud800" <= symbol <= "\udfff" for symbol in value):
                raise Refused("json_nul", "A string holds NUL or half a character.")
        case list():
            for item in value:
                _check_text(item)
        case dict():
            for key, item in value.items():
                _check_text(key)
                _check_text(item)


def _depth(text: str) -> int:
    """Return the deepest nesting outside strings, stopping early past the limit."""
    depth = deepest = 0
    in_string = escaped = False
    for symbol in text:
        if in_string:
            if escaped:
                escaped = False
            elif symbol == "\\":
                escaped = True
            elif symbol == '"':
                in_string = False
        elif symbol == '"':
            in_string = True
        elif symbol in "[{":
            depth += 1
            deepest = max(deepest, depth)
            if deepest > MAX_DEPTH:
                return deepest
        elif symbol in "]}":
            depth -= 1
    return deepest
