"""Reports over REST: what may be asked, and what an answer looks like."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

from pydantic import Field, create_model

from identity_service.api.schemas import Output, OutTime, Query, Time

_COUNTRY: Final = "^[A-Z0-9]{2,3}$"


class ReportsQuery(Query):
    cohort: Annotated[
        Literal["day", "week", "month"], Field(description="The length of a period; weeks begin on Mondays.")
    ] = "week"
    root_id: Annotated[
        str | None, Field(max_length=40, description="Only this member and everyone below.")
    ] = None
    campaign: Annotated[
        str | None, Field(max_length=100, description="Only trees that began with this campaign.")
    ] = None
    country: Annotated[
        str | None,
        Field(pattern=_COUNTRY, description="Only members who joined with its phones."),
    ] = None
    as_of: Annotated[Time | None, Field(description="As it was known then; the default is now.")] = None
    format: Literal["json", "csv"] = "json"
    table: Annotated[
        str | None, Field(max_length=40, description="For CSV: which table; the first by default.")
    ] = None


# `from` is a word of Python's, so that no class body can name a field so.
ReportQuery: type[Query] = create_model(
    "ReportQuery",
    __base__=ReportsQuery,
    **{
        "from": (Annotated[Time | None, Field(description="Joined, issued or entered at or after.")], None),
        "to": (Annotated[Time | None, Field(description="Joined, issued or entered before.")], None),
    },  # type: ignore[call-overload]
)


class MetricOut(Output):
    name: str
    title: str
    formula: str
    denominator: str
    source: str


class ReportDefinitionOut(Output):
    name: Annotated[str, Field(examples=["k-factor"])]
    title: str
    question: str
    metrics: list[MetricOut]


class ReportListOut(Output):
    data: list[ReportDefinitionOut]


class ColumnOut(Output):
    name: str
    title: str
    unit: Annotated[
        Literal["count", "share", "ratio", "span", "instant", "money", "member", "text", "flag"],
        Field(
            description="`share`: 0 to 1. `span`: seconds. `instant`: RFC 3339. `money`: US dollars."
            " `member`: a member's id."
        ),
    ]
    low: Annotated[str | None, Field(description="The column of the 95 % interval's lower limit.")] = None
    high: Annotated[str | None, Field(description="The column of its upper limit.")] = None


class ChartOut(Output):
    kind: Literal["line", "bar", "funnel", "heat", "none"]
    x: str | None = None
    y: list[str]
    by: str | None = None


class TableOut(Output):
    name: str
    title: str
    chart: ChartOut
    columns: list[ColumnOut]
    rows: Annotated[list[list[Any]], Field(description="Cells in the order of the columns.")]


class ReportOut(ReportDefinitionOut):
    as_of: OutTime
    n: Annotated[int, Field(description="How many `of` the report is about.")]
    of: str
    maturing: Annotated[bool, Field(description="Something in it is not over yet and may still change.")]
    notes: list[str]
    parameters: dict[str, str]
    tables: list[TableOut]


class ReportPreparingOut(Output):
    state: Literal["preparing"]
    progress: Annotated[float, Field(ge=0, le=1)]
    retry_at: OutTime
