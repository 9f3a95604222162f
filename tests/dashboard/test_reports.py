"""Reports on pages: every one is shown from what it says of itself, and tells a growth role of no person."""

from __future__ import annotations

import csv
import html
import io
import json
import re
from typing import Any

import pytest

from graph.growth.report import Chart, Column, Definition, Report, Unit, estimated, table
from identity_service.dashboard.discretion import discreet
from identity_service.dashboard.frame import Say, Viewer
from identity_service.dashboard.names import Names
from identity_service.dashboard.reports import _drawing
from identity_service.ports import DAY
from identity_service.services.dashboard_access import Role
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


@pytest.fixture
def app_viewer(world: World) -> Viewer:
    """Somebody of the growth role, without a browser."""
    services = world.services
    token = world.transact(
        lambda tx: services.dashboard.sign_in(tx, services.dashboard.make_link(tx, Role.GROWTH, "olga").token)
    )
    session = world.query(lambda tx: services.dashboard.session(tx, token))
    assert session is not None
    names = Names(Role.GROWTH, services.hasher, services.seal)
    return Viewer(services=services, session=session, form_token="", names=names, say=Say("en"))


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
        "country=xx",
        "from=2020-02-01&to=2020-01-01",
    ):
        assert 'role="alert"' in admin.get(f"/reports/overview?{wrong}", code=422).text, wrong


def test_a_file_holds_the_tables_rows(network: dict[int, str], admin: Visitor) -> None:
    answer = admin.get("/reports/geography/countries.csv")
    assert answer.headers["Content-Type"] == "text/csv; charset=utf-8"
    rows = list(csv.DictReader(io.StringIO(answer.text)))
    assert {row["country"]: row["members"] for row in rows} == {"SE": "40", "RU": "17", "BR": "3"}
    admin.get("/reports/geography/nothing.csv", code=400)


def test_a_growth_role_sees_no_small_group_and_no_id(network: dict[int, str], growth: Visitor) -> None:
    rows = list(csv.DictReader(io.StringIO(growth.get("/reports/geography/countries.csv").text)))
    assert {row["country"]: row["members"] for row in rows} == {"SE": "40", "RU": "20", "BR": ""}
    leaders = growth.get("/reports/leaderboard").text
    named = growth.get("/reports/leaderboard/leaders.csv").text
    assert re.search(r"M-\w{4}-\w{4}", leaders)
    assert re.search(r"M-\w{4}-\w{4}", named)
    for text in (leaders, named, growth.get("/reports/tree").text):
        assert "mem_" not in text.replace('placeholder="mem_…"', "")
        assert "cmd(" not in text


def test_a_growth_role_asks_for_a_branch_from_its_members_page(
    network: dict[int, str], growth: Visitor
) -> None:
    ref = re.findall(r'href="/dashboard/members/([\w-]{40,})"', growth.get("/members").text)[0]
    link = f"/reports/tree?root_id={ref}"
    assert f'href="/dashboard{link}"' in growth.get(f"/members/{ref}").text
    growth.get(link)
    for wrong in ("M-ABCD-EFGH", network[1]):
        assert 'role="alert"' in growth.get(f"/reports/tree?root_id={wrong}", code=422).text


def drawings(text: str) -> list[dict[str, Any]]:
    """Return what the page's charts draw."""
    return [json.loads(html.unescape(one)) for one in re.findall(r'data-drawing="([^"]*)"', text)]


def test_lines_keep_their_places_where_small_groups_are_blanked(
    network: dict[int, str], admin: Visitor, growth: Visitor
) -> None:
    shown = drawings(growth.get("/reports/k-factor?cohort=day").text)
    whole = drawings(admin.get("/reports/k-factor?cohort=day").text)
    for ours, all_of_it in zip(shown, whole, strict=True):
        assert ours["labels"] == all_of_it["labels"] == sorted(set(ours["labels"]))
        for line in ours["lines"]:
            assert len(line["values"]) == len(ours["labels"])
    square = growth.get("/reports/cohorts?cohort=day").text.split('id="table-retention"')[1]
    head = square.split("<tbody>")[0]
    assert ">–</th>" not in head
    assert ">–</td>" not in "".join(re.findall(r"<tr><td[^>]*>[^<]*</td>", square))


def test_each_lines_values_stand_at_their_own_places(world: World, app_viewer: Viewer) -> None:
    columns = [
        Column(name="since", title="From", unit=Unit.INSTANT),
        Column(name="window_days", title="Window"),
        Column(name="members", title="Members"),
        Column(name="mature", title="Window over"),
        *estimated("k", "K", Unit.RATIO),
    ]
    days = [f"2026-01-0{day}T00:00:00Z" for day in (1, 2, 3)]
    rows = [
        (days[1], 7, 200, 200, 0.2, 0.1, 0.3),
        (days[2], 7, 2, 2, 0.5, 0.4, 0.6),
        (days[0], 30, 200, 200, 0.7, 0.6, 0.8),
        (days[1], 30, 200, 200, 0.9, 0.8, 1.0),
        (None, 30, 999, 999, 8.0, 7.0, 9.0),
    ]
    made = table("k", "K", columns, rows, chart=Chart.LINE, x="since", y=("k",), by="window_days")
    nothing = Definition(name="x", title="", question="", metrics=())
    report = Report(definition=nothing, n=9, of="members", tables=(made,))
    drawn = json.loads(_drawing(app_viewer, discreet(report).tables[0]) or "")
    assert drawn["labels"] == ["2026-01-01", "2026-01-02", "2026-01-03"]
    assert [line["values"] for line in drawn["lines"]] == [[None, 0.2, None], [0.7, 0.9, None]]
    assert drawn["lines"][1]["low"] == [pytest.approx(0.6), pytest.approx(0.8), None]


def test_titles_come_in_the_readers_language(network: dict[int, str], admin: Visitor) -> None:
    admin.language = "ru"
    page = admin.get("/reports/geography").text
    assert "Швеция" in page
    assert "Участники" in page
    assert "Countries" not in page
