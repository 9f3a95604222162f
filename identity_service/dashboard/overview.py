"""The first page: whether the service works, what waits for a person, what happened last."""

from __future__ import annotations

from typing import Any

from flask import Response

from identity_service.dashboard.frame import Viewer, dashboard, page, signed_in
from identity_service.dashboard.reports import report_tables
from identity_service.db.store import Tx
from identity_service.ports import SECOND

_NEWEST = 8
_DEAD = 100


@dashboard.get("")
@signed_in()
def overview(viewer: Viewer) -> Response:
    summary = report_tables(viewer, "overview")
    return page("overview.html", summary=summary, **viewer.read(lambda tx: _facts(viewer, tx)))


def _facts(viewer: Viewer, tx: Tx) -> dict[str, Any]:
    services = viewer.services
    beat = services.worker_state.last_beat(tx)
    return {
        "worker_seconds": None if beat is None else max(0, tx.now - beat) // SECOND,
        "events": list(reversed(services.journal.newest_events(tx, types=(), limit=_NEWEST))),
        "dead": len(services.endings.dead_letters(tx, _DEAD)) if viewer.is_admin else 0,
        "dead_more": _DEAD,
        "provider": ", ".join(services.settings.providers),
        "policy": services.policies.of(tx).version,
    }
