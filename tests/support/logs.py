"""What the service logs, caught line by line."""

from __future__ import annotations

import io
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from identity_service import telemetry


@contextmanager
def caught(level: str = "INFO") -> Iterator[io.StringIO]:
    """Catch everything that is logged at `level` and above, from worlds made before and inside."""
    stream, stderr = io.StringIO(), sys.stderr
    sys.stderr = stream
    try:
        _configure(level)
        yield stream
    finally:
        sys.stderr = stderr
        _configure("WARNING")


def _configure(level: str) -> None:
    telemetry.configure_logging(level)
    # A logger keeps the stream that it first wrote to; let each look again.
    for module in list(sys.modules.values()):
        if module.__name__.startswith("identity_service") and hasattr(module, "log"):
            vars(module.log).pop("bind", None)
