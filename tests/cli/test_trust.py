"""`identity trust`: sums that add up, rows that equal the log, and figures for outside files."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import text

from tests.cli.conftest import Terminal
from tests.service.steps import ok
from tests.support.world import World


def test_an_explanation_is_a_table_that_adds_up_and_json_is_what_rest_says(
    run: Terminal, world: World
) -> None:
    api, root = world.api(), world.seed(quota=2)
    member = world.join(api, root.id)["member"]["id"]
    ok(api.post(f"/v1/members/{member}/signals", {"kind": "staff_verified"}), 202)
    world.work()
    assert run.json("trust", "explain", member) == ok(api.get(f"/v1/members/{member}/trust"))
    rows = [line.split("\t") for line in run("trust", "explain", member).stdout.split("\n\n")[0].splitlines()]
    *lines, total = rows[1:]
    assert total[0] == "total"
    assert sum(float(line[2]) for line in lines) == pytest.approx(float(total[2]), abs=0.01)
    assert {line[0] for line in lines} >= {"inviter", "evidence"}
    assert "not_found" in run("trust", "explain", "mem_none", code=1).stderr


def test_a_rebuild_tells_the_largest_difference_and_writes_what_the_log_says(
    run: Terminal, world: World
) -> None:
    api, root = world.api(), world.seed(quota=3)
    members = [world.join(api, root.id)["member"]["id"] for _ in range(2)]
    world.work()
    clean = run.json("trust", "rebuild", "--dry-run")
    assert (clean["members"], clean["scores_behind"], clean["states_behind"]) == (3, 0, 0)
    assert clean["largest_difference_of_states"] < 1e-10
    before = run.json("trust", "explain", members[0])
    spoil = text("UPDATE members SET trust_log_odds = trust_log_odds + 2")
    world.transact(lambda tx: tx.change(spoil))
    spoilt = run.json("trust", "rebuild", "--dry-run")
    assert spoilt["scores_behind"] == 3
    assert spoilt["largest_difference_of_scores"] == pytest.approx(2, abs=0.1)
    assert "scores_behind\t3" in run("trust", "rebuild").stdout
    assert run.json("trust", "rebuild", "--dry-run")["scores_behind"] == 0
    assert run.json("trust", "explain", members[0]) == before


TREE = "member,inviter,bad,reports,banned\n" + "".join(
    f"m{n},{'' if n == 0 else f'm{n // 3}'},{int(n > 30)},{int(n > 36)},0\n" for n in range(60)
)


def test_a_labelled_tree_is_judged_beside_the_other_methods(tmp_path: Path) -> None:
    run, file = Terminal("sqlite:////nowhere/at/all"), tmp_path / "tree.csv"
    file.write_text(TREE)
    table = run.json("trust", "evaluate", str(file))["data"][0]
    assert (table["members"], table["bad"]) == (60, 29)
    methods = {one["method"]: one for one in table["methods"]}
    assert methods.keys() >= {"two-layer", "own evidence", "branch ratio", "ancestor decay", "SybilRank"}
    auc = methods["two-layer"]["auc"]
    assert 0 <= auc["low"] <= auc["value"] <= auc["high"] <= 1
    assert methods["SybilRank"]["brier"] is None
    assert "personalised PageRank\t" in run("trust", "evaluate", str(file)).stdout


@pytest.mark.parametrize(
    ("written", "told"),
    [
        ("member,inviter,bad\na,,0\nb,a,2\n", "line 3"),
        ("source,target,rating,time\na,b,1,5\na,b,much,6\n", "line 3"),
        ("member,inviter,bad\na,b,0\nb,a,0\n", "circle"),
        ("member,inviter,bad\na,,0\na,,0\n", "a"),
        ("member,inviter,bad\na,nobody,0\n", "nobody"),
        ("", "nobody to judge"),
        ("source,target,rating,time\n", "nobody to judge"),
        ("member,inviter,bad\n", "nobody to judge"),
    ],
)
def test_a_file_that_cannot_be_judged_is_refused_with_its_line(
    tmp_path: Path, written: str, told: str
) -> None:
    file = tmp_path / "bad.csv"
    file.write_text(written)
    assert told in Terminal("")("trust", "evaluate", str(file), code=1).stderr


def test_a_file_that_is_not_there_is_wrong_usage(tmp_path: Path) -> None:
    Terminal("")("trust", "evaluate", str(tmp_path / "none.csv"), code=2)
    (tmp_path / "binary.csv").write_bytes(b"\xff\xfe\x00")
    assert "UTF-8" in Terminal("")("trust", "evaluate", str(tmp_path / "binary.csv"), code=1).stderr
