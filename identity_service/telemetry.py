"""Logs and metrics: route templates, codes and times; never a query string, a code, a token or a phone."""

from __future__ import annotations

import logging
import os
import sys
import threading
from typing import TYPE_CHECKING, Any, Final

import structlog
from structlog.tracebacks import ExceptionDictTransformer

if TYPE_CHECKING:
    from prometheus_client import Counter, Gauge, Histogram

_MAKING: Final = threading.Lock()
_BUCKETS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10)

REQUESTS: Counter
SECONDS: Histogram
REFUSALS: Counter
MESSAGES: Counter
ROUTE_SHARE: Gauge
SEQUENCED: Counter
TASKS: Counter
REVIEWS: Counter
SCORES: Counter
GUARD: Counter
FAULTS: Counter


def _make_metrics() -> dict[str, Any]:
    from prometheus_client import Counter, Gauge, Histogram

    return {
        "REQUESTS": Counter(
            "identity_requests_total", "Requests by route template.", ("method", "route", "status")
        ),
        "SECONDS": Histogram(
            "identity_request_seconds", "Time in the application.", ("method", "route"), buckets=_BUCKETS
        ),
        "REFUSALS": Counter("identity_refusals_total", "Refusals by stable code.", ("code",)),
        "MESSAGES": Counter("identity_messages_total", "Messages handed over.", ("provider", "outcome")),
        "ROUTE_SHARE": Gauge(
            "identity_route_share",
            "The part of the messages that a provider gets in a country, or in a prefix with its own route.",
            ("provider", "country"),
            multiprocess_mode="mostrecent",
        ),
        "SEQUENCED": Counter("identity_journal_sequenced_total", "Journal rows numbered."),
        "TASKS": Counter("identity_housekeeping_total", "Things that time ended.", ("task",)),
        "REVIEWS": Counter("identity_reviews_total", "Members whose level and earning were looked at."),
        "SCORES": Counter("identity_trust_scores_total", "Trust scores written."),
        "GUARD": Counter("identity_guard_answers_total", "The pumping guard's answers.", ("kind", "answer")),
        "FAULTS": Counter("identity_worker_faults_total", "Jobs of the worker that failed.", ("job",)),
    }


def __getattr__(name: str) -> Any:
    """Make the metrics when the first of them is asked for.

    prometheus_client decides at its import where it counts (`config.share_metrics`), and services that count
    are imported before a process knows.  So importing this module must not import that one.
    """
    if name not in __annotations__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    with _MAKING:
        if name not in globals():
            globals().update(_make_metrics())
    return globals()[name]


def configure_logging(level: str) -> None:
    """Write one JSON object a line to stderr."""
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            # Without local variables: those hold numbers and codes.
            structlog.processors.ExceptionRenderer(ExceptionDictTransformer(show_locals=False)),
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelName(level.upper())),
        logger_factory=structlog.WriteLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )


def exposition() -> bytes:
    """Return the metrics of this process, or of all where they share a folder (`config.share_metrics`)."""
    from prometheus_client import CollectorRegistry, generate_latest, multiprocess

    __getattr__("REQUESTS")  # those that nobody has counted with are told, too
    if "PROMETHEUS_MULTIPROC_DIR" not in os.environ:
        return generate_latest()
    registry = CollectorRegistry()
    multiprocess.MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    return generate_latest(registry)


def where(error: BaseException) -> list[str]:
    """Return the innermost places of a traceback, without any values."""
    places, frame = [], error.__traceback__
    while frame is not None:
        code = frame.tb_frame.f_code
        places.append(f"{code.co_filename.rpartition('/')[2]}:{frame.tb_lineno}:{code.co_name}")
        frame = frame.tb_next
    return places[-6:]
