"""From reports to the API's answers, JSON or CSV, each with an ETag."""

from __future__ import annotations

import hashlib
from math import ceil
from typing import Final

from pydantic import BaseModel

from graph.growth.report import Column, Definition, Metric, Table
from identity_service.api import report_schemas as s
from identity_service.api.render import out
from identity_service.ports import SECOND, rfc3339
from identity_service.services.idempotency import Answer as Response
from identity_service.services.reports import Answer, Preparing, Wanted, as_csv, table_named

CSV: Final = "text/csv"


def catalogue(found: tuple[Definition, ...]) -> s.ReportListOut:
    return out(s.ReportListOut, data=[definition(one) for one in found])


def definition(found: Definition) -> s.ReportDefinitionOut:
    return out(s.ReportDefinitionOut, **_defined(found))


def _defined(found: Definition) -> dict[str, object]:
    return {
        "name": found.name,
        "title": found.title,
        "question": found.question,
        "metrics": [metric(one) for one in found.metrics],
    }


def metric(found: Metric) -> s.MetricOut:
    return out(
        s.MetricOut,
        name=found.name,
        title=found.title,
        formula=found.formula,
        denominator=found.denominator,
        source=found.source,
    )


def report(found: Answer) -> s.ReportOut:
    told = found.report
    return out(
        s.ReportOut,
        **_defined(told.definition),
        as_of=rfc3339(found.as_of),
        n=told.n,
        of=told.of,
        maturing=told.maturing,
        notes=list(told.notes),
        parameters=parameters(found.wanted),
        tables=[table(one) for one in told.tables],
    )


def parameters(wanted: Wanted) -> dict[str, str]:
    """Return what was asked, by the names of the API."""
    asked = {
        "from": wanted.start and rfc3339(wanted.start),
        "to": wanted.end and rfc3339(wanted.end),
        "cohort": wanted.cohort.value,
        "root_id": wanted.root_id,
        "campaign": wanted.campaign,
        "country": wanted.country,
    }
    return {name: value for name, value in asked.items() if value is not None and value != 0}


def table(found: Table) -> s.TableOut:
    return out(
        s.TableOut,
        name=found.name,
        title=found.title,
        chart=out(s.ChartOut, kind=found.chart.value, x=found.x, y=list(found.y), by=found.by),
        columns=[column(one) for one in found.columns],
        rows=[list(row) for row in found.rows],
    )


def column(found: Column) -> s.ColumnOut:
    return out(
        s.ColumnOut, name=found.name, title=found.title, unit=found.unit.value, low=found.low, high=found.high
    )


def answer(found: Answer | Preparing, *, as_csv_table: bool, table_name: str | None, now: int) -> Response:
    """Return a report as it is sent, or that it takes a while."""
    if isinstance(found, Preparing):
        model: BaseModel = out(
            s.ReportPreparingOut,
            state="preparing",
            progress=round(found.progress, 3),
            retry_at=rfc3339(found.retry_at),
        )
        wait = {"Retry-After": str(max(1, ceil((found.retry_at - now) / SECOND)))}
        body = model.model_dump_json(exclude_defaults=True)
        return Response(status=202, headers={"Content-Type": "application/json"} | wait, body=body)
    if as_csv_table:
        chosen = table_named(found.report, table_name)
        kept_as = f'attachment; filename="{found.report.definition.name}-{chosen.name}.csv"'
        headers = {"Content-Type": f"{CSV}; charset=utf-8", "Content-Disposition": kept_as}
        return _tagged(as_csv(chosen), headers)
    body = report(found).model_dump_json(exclude_defaults=True)
    return _tagged(body, {"Content-Type": "application/json"})


def _tagged(body: str, headers: dict[str, str]) -> Response:
    tag = hashlib.sha256(body.encode()).hexdigest()[:32]
    return Response(status=200, headers=headers | {"ETag": f'"{tag}"', "Cache-Control": "private"}, body=body)
