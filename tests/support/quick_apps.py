"""Applications are made by the thousand in tests: what each of them would compile anew is compiled once.

Werkzeug writes and compiles a function for each address of each application, which is most of the time that
making one takes.  Equal rules have equal functions.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

from werkzeug.routing import Rule


def compile_addresses_once() -> None:
    """Let equal rules share their compiled functions, in this process."""
    known: dict[tuple[object, ...], Callable[..., Any]] = {}
    compiled = Rule._compile_builder

    @wraps(compiled)
    def once(rule: Rule, append_unknown: bool = True) -> Callable[..., Any]:
        key = (rule.rule, rule.subdomain, rule.host, repr(rule.defaults), append_unknown)
        found = known.get(key)
        if found is None:
            found = known[key] = compiled(rule, append_unknown)
        return found

    Rule._compile_builder = once  # type: ignore[method-assign, assignment]
