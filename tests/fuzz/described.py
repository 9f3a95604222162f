"""The description as schemathesis reads it, and what generated requests are told and asked beyond it."""

from __future__ import annotations

import copy
import os
import re
from typing import Any, get_args
from zlib import crc32

import schemathesis
from hypothesis import HealthCheck, settings
from pydantic_core.core_schema import ErrorType
from schemathesis import Case, CheckContext, GenerationMode, Response
from schemathesis.config import SchemathesisConfig

from identity_service.api.openapi import document

EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "0"))
"""How many requests an operation gets beyond the fixed ones.  Unset: few, and the same ones in each run."""


def effort(few: int, **more: Any) -> settings:
    """Return how hard to try."""
    return settings(
        max_examples=EXAMPLES or few,
        derandomize=not EXAMPLES,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
        **more,
    )


class Door:
    """The WSGI application that generated requests go to: they are made before there is a store."""

    application: Any = None

    def __call__(self, environ: Any, start_response: Any) -> Any:
        return self.application(environ, start_response)


ID = re.compile(r"[a-z]{3}_[0-9a-z]+", re.ASCII)
PHONE = re.compile(r"\+[1-9][0-9]{6,14}", re.ASCII)
SHAPE_FAULTS = set(get_args(ErrorType)) - {"missing", "value_error"}
"""What the models find and the description tells.  A use case may miss a field that only some calls need, and
some rules (no invisible characters) no schema can say."""
Known = dict[str, tuple[str, ...]]
"""For each name of a field or path value, values that exist."""
CONFIG = {
    "checks": {
        # What fits the schema may still be a number that nobody has, a wrong code or a foreign cursor;
        # `understood` tells these from requests that should have been taken.
        "positive_data_acceptance": {
            "expected-statuses": ["2xx", "304", "400", "401", "403", "404", "409", "422", "429"]
        },
    }
}
# A copy: schemathesis rewrites what it is given, and the document is everybody's.
schema = schemathesis.openapi.from_dict(
    copy.deepcopy(document()), config=SchemathesisConfig.from_dict(CONFIG)
)
door = Door()
schema.app = door


def real(case: Case[Any], known: Known, *, in_path: bool = True) -> None:
    """Put known values in the place of generated ones that fit the description, in every second request."""
    if crc32(repr((case.body, case.path_parameters)).encode("utf-8", "replace")) % 2:
        return
    parts: tuple[Any, ...] = (case.path_parameters if in_path else None, case.body)
    for part in parts:
        if isinstance(part, dict):
            for name, values in known.items():
                if fits(name, part.get(name), in_path=part is case.path_parameters):
                    part[name] = values[crc32(part[name].encode("utf-8", "replace")) % len(values)]


def fits(name: str, value: object, *, in_path: bool) -> bool:
    """Whether the description takes this value; one that it does not must stay what it is."""
    if not isinstance(value, str) or not 1 <= len(value) <= 40:
        return False
    if name == "phone":
        return PHONE.fullmatch(value) is not None
    if name == "code":
        return not value.isdigit()  # else it is a one-time code
    return not in_path or ID.fullmatch(value) is not None


def understood(_: CheckContext, response: Response, case: Case[Any]) -> None:
    """A request that fits the description is never refused as one that does not."""
    if case.meta is None or case.meta.generation.mode is not GenerationMode.POSITIVE:
        return
    if response.status_code == 400:
        refused = response.json()
        # No schema can say that a string holds no NUL, which cursors were made here, or which years count.
        if refused["code"] not in ("cursor_invalid", "json_nul") and "NUL" not in refused["detail"]:
            assert "errors" in refused, response.text
            assert not shape_faults(refused), response.text
    if response.status_code == 422 and response.json()["code"] == "validation_failed":
        assert not shape_faults(response.json()), response.text


def shape_faults(refused: dict[str, Any]) -> list[dict[str, Any]]:
    """What a refusal found that the description tells of."""
    return [
        fault
        for fault in refused["errors"]
        if fault["code"] in SHAPE_FAULTS and not fault["pointer"].endswith("_at")
    ]
