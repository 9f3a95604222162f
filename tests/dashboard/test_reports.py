"""Reports on pages: every one is shown from what it says of itself, and tells a growth role of no person."""

from __future__ import annotations

import csv
import io
import re

import pytest

from graph.growth.report import Chart, Column, Definition, Report, Unit, table
from identity_service.dashboard.reports import discreet
from identity_service.ports import DAY
from tests.dashboard.conftest import Visitor
from tests.support.network import plant
from tests.support.world import World

NAMES = ("overview", "funnel", "k-factor", "cohorts", "tree", "geography", "leaderboard", "quota")


@pytest.fixture
def network(world: World) -> dict[int, str]:
    """Sixty members in three generations: one country of forty, one of seventeen, one of three."""
    now = world.clock.now()
    parents = {0: None} | {number: (number - 1) // 4 for number in range(1, 60)}
    return plant(
        world,
        parents,
        external_id=lambda number: f"=cmd({number})",
        country=lambda number: "SE" if number < 40 else "RU" if number < 57 else "BR",
        joined_at=lambda number: now - 60 * DAY + number * DAY // 2,
        last_seen_at=now,
    )


def test_every_report_is_listed_and_shown(world: World, network: dict[int, str], admin: Visitor) -> None:
    listed = admin.get("/reports").text
    for name in NAMES:
        assert f'href="/dashboard/reports/{name}"' in listed
        page = admin.get(f"/reports/{name}").text
        assert "How this is counted" in page
        assert "&#34;kind&#34;" in page or "<td" in page, name
        assert 'class="tile"' in page or "<td" in page, name
    admin.get("/reports/nothing", code=404)
    assert "60" in admin.get().text  # the overview's own figures


def test_a_report_without_any_member_is_shown_too(admin: Visitor) -> None:
    for name in NAMES:
        admin.get(f"/reports/{name}")


def test_filters_reach_the_report_and_wrong_ones_are_told(network: dict[int, str], admin: Visitor) -> None:
    whole = admin.get("/reports/geography").text
    assert "Sweden" in whole
    assert "Sweden" not in admin.get("/reports/geography?from=2001-01-01&to=2001-02-01").text
    admin.get(f"/reports/tree?root_id={network[1]}")
    for wrong in (
        "from=soon",
        "cohort=eon",
        "root_id=mem_x",
        "campaign=none",
        "from=2020-02-01&to=2020-01-01",
    ):
        assert 'role="alert"' in admin.get(f"/reports/overview?{wrong}", code=422).text, wrong


def test_a_file_holds_the_tables_rows(network: dict[int, str], admin: Visitor) -> None:
    answer = admin.get("/reports/geography/countries.csv")
    assert answer.mimetype == "text/csv"
    rows = list(csv.DictReader(io.StringIO(answer.text)))
    assert {row["country"]: row["members"] for row in rows} == {"SE": "40", "RU": "17", "BR": "3"}
    admin.get("/reports/geography/nothing.csv", code=400)


def test_a_growth_role_sees_no_small_group_and_no_id(network: dict[int, str], growth: Visitor) -> None:
    rows = list(csv.DictReader(io.StringIO(growth.get("/reports/geography/countries.csv").text)))
    assert {row["country"]: row["members"] for row in rows} == {"SE": "40", "RU": "17", "BR": ""}
    leaders = growth.get("/reports/leaderboard").text
    named = growth.get("/reports/leaderboard/leaders.csv").text
    assert re.search(r"M-\w{4}-\w{4}", leaders)
    assert re.search(r"M-\w{4}-\w{4}", named)
    for text in (leaders, named, growth.get("/reports/tree").text):
        assert "mem_" not in text.replace('placeholder="mem_…"', "")
        assert "cmd(" not in text


def test_groups_are_counted_by_their_persons() -> None:
    columns = [Column(name="country", title="", unit=Unit.TEXT), Column(name="members", title="")]
    report = Report(
        definition=Definition(name="x", title="", question="", metrics=()),
        n=9,
        of="members",
        tables=(
            table("a", "", columns, [("SE", 5), ("RU", 4), ("BR", 0)], chart=Chart.BAR),
            table(
                "b",
                "",
                [Column(name="step", title="", unit=Unit.TEXT), Column(name="sent", title="")],
                [("x", 1)],
            ),
        ),
    )
    shown = discreet(report).tables
    assert shown[0].rows == (("SE", 5), ("RU", None), ("BR", 0))
    assert shown[1].rows == (("x", 1),)


def test_titles_come_in_the_readers_language(network: dict[int, str], admin: Visitor) -> None:
    admin.language = "ru"
    page = admin.get("/reports/geography").text
    assert "Швеция" in page
    assert "Участники" in page
    assert "Countries" not in page
