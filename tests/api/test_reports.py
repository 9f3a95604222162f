"""Reports over REST and on the command line: one definition, in JSON, CSV and tables, and answers kept."""

from __future__ import annotations

import csv
import io

import pytest

from graph.growth.catalog import REPORTS
from identity_service.services import reports
from tests.cli.conftest import Terminal, run  # noqa: F401 - a fixture
from tests.support.world import World


@pytest.fixture
def grown(world: World) -> str:
    """A seed who invited one."""
    api, seed = world.api(), str(world.seed(quota=5).id)
    world.join(api, seed)
    return seed


def test_every_report_is_listed_and_can_be_read(world: World, grown: str) -> None:
    api = world.api("reports:read")
    listed = api.get("/v1/reports").json["data"]  # type: ignore[index]
    assert [one["name"] for one in listed] == list(REPORTS)
    for one in listed:
        told = api.get(f"/v1/reports/{one['name']}?cohort=day&root_id={grown}")
        assert told.status_code == 200, told.text
        assert told.json["metrics"] == one["metrics"]  # type: ignore[index]
        assert told.json["parameters"] == {"cohort": "day", "root_id": grown}  # type: ignore[index]
        for table in told.json["tables"]:  # type: ignore[index]
            assert all(len(row) == len(table["columns"]) for row in table["rows"])


def test_a_report_needs_its_scope_and_a_name_and_sense(world: World, grown: str) -> None:
    assert world.api("members:read").get("/v1/reports/tree").status_code == 403
    api = world.api("reports:read")
    wrong = {
        "/v1/reports/nothing": 404,
        "/v1/reports/tree?root_id=mem_nobody": 422,
        "/v1/reports/tree?campaign=none": 422,
        "/v1/reports/tree?from=2026-02-01T00:00:00Z&to=2026-01-01T00:00:00Z": 422,
        "/v1/reports/tree?from=yesterday": 400,
        "/v1/reports/tree?cohort=year": 400,
        "/v1/reports/tree?format=csv&table=none": 400,
        "/v1/reports/tree?color=red": 400,
    }
    assert {path: api.get(path).status_code for path in wrong} == wrong


def test_a_table_comes_as_csv(world: World, grown: str) -> None:
    api = world.api("reports:read")
    told = api.get("/v1/reports/tree?format=csv&table=generations")
    assert told.mimetype == "text/csv"
    assert list(csv.reader(io.StringIO(told.text))) == [["generation", "members"], ["0", "1"], ["1", "1"]]


def test_an_answer_that_has_not_changed_is_not_sent_again(world: World, grown: str) -> None:
    api = world.api("reports:read")
    first = api.get("/v1/reports/overview")
    then = first.json["as_of"]  # type: ignore[index]
    path = f"/v1/reports/overview?as_of={then}"
    kept = api.get(path)
    world.clock.advance(10**6)
    world.seed()
    again = api.get(path, headers={"If-None-Match": kept.headers["ETag"]})
    assert (again.status_code, again.data) == (304, b"")
    changed = api.get("/v1/reports/overview", headers={"If-None-Match": first.headers["ETag"]})
    assert changed.status_code == 200


def test_the_first_report_on_a_large_network_is_a_job(
    world: World, grown: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reports, "SMALL", 1)
    api = world.api("reports:read")
    first = api.get("/v1/reports/tree")
    assert (first.status_code, first.headers["Retry-After"]) == (202, "1")
    assert first.json["state"] == "preparing"  # type: ignore[index]
    running = world.services.reports._running
    assert running is not None
    running.join(timeout=60)
    assert api.get("/v1/reports/tree").status_code == 200


def test_the_command_line_tells_the_same(world: World, grown: str, run: Terminal) -> None:  # noqa: F811
    told = run.json("reports", "tree", "--root", grown)
    over_rest = world.api().get(f"/v1/reports/tree?root_id={grown}").json
    assert told["tables"] == over_rest["tables"]  # type: ignore[index]
    assert run("reports", "tree", "--csv", "--table", "generations").stdout.splitlines()[1] == "0,1"
    shown = run("reports", "overview").stdout
    assert "Members" in shown
    assert "formula" in run("reports", "k-factor", "--explain").stdout
    assert len(run.json("reports", "list")["data"]) == 8
    run("reports", "tree", "--from", "2026-13-01", code=2)
    assert "--from" in run("reports", "tree", "--from", "bad", code=2).stderr
    assert run.json("reports", "tree", "--country", "ru")["parameters"]["country"] == "RU"
    run("reports", "tree", "--country", "xx", code=1)
    run("reports", "tree", "--root", "mem_nobody", code=1)
