"""Growth reports: what there are, and one of them."""

from __future__ import annotations

from graph.growth.periods import Period
from identity_service.api import report_render as render
from identity_service.api import report_schemas as s
from identity_service.api.operation import Call, Work, operation
from identity_service.db.store import Tx
from identity_service.services.clients import Scope
from identity_service.services.idempotency import Answer
from identity_service.services.reports import Wanted


@operation(
    "GET",
    "/v1/reports",
    tag="Reports",
    summary="Which reports there are",
    scope=Scope.REPORTS_READ,
    answers={200: s.ReportListOut},
)
def list_reports(call: Call) -> Work:
    """Each with the question that it answers, and every figure with formula, denominator and source."""
    return Work(lambda _tx: call.services.reports.catalogue(), render.catalogue)


@operation(
    "GET",
    "/v1/reports/{report}",
    tag="Reports",
    summary="Read a report",
    scope=Scope.REPORTS_READ,
    query=s.ReportQuery,
    answers={200: s.ReportOut, 202: s.ReportPreparingOut},
    refusals=("validation_failed",),
    as_text={render.CSV: "generation,members\r\n0,3\r\n1,12\r\n"},
)
def get_report(call: Call) -> Work:
    """A report with its definition, `n`, 95 % intervals and `maturing` marks, as JSON or one table as CSV.

    The first report on a large network answers 202 until the network is read. With `If-None-Match` an
    answer that has not changed is 304; give `as_of` for one that never changes.
    """
    query = call.query
    wanted = Wanted(
        start=getattr(query, "from"),
        end=query.to,
        cohort=Period(query.cohort),
        root_id=query.root_id,
        campaign=query.campaign,
        country=query.country,
        as_of=query.as_of,
    )

    def answer(tx: Tx) -> Answer:
        found = call.services.reports.answer(tx, call.values["report"], wanted)
        return render.answer(found, as_csv_table=query.format == "csv", table_name=query.table, now=tx.now)

    return Work(answer, lambda found: found)
