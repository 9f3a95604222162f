"""Members and their tree, page by page."""

from __future__ import annotations

from typing import Any

import pytest

from tests.service.steps import Body, no, ok, pages, sanction
from tests.support.world import Api, World


@pytest.fixture
def tree(world: World) -> tuple[World, Api, dict[str, Body]]:
    """root > a > b > c > d, and a > e; beside it another root."""
    api, root = world.api(), world.seed(quota=9)
    made: dict[str, Any] = {"root": ok(api.get(f"/v1/members/{root.id}"))}
    for name, inviter in (("a", "root"), ("b", "a"), ("c", "b"), ("d", "c"), ("e", "a")):
        if inviter != "root":
            world.grant(made[inviter]["id"], 1)
        made[name] = world.join(api, made[inviter]["id"], external_id=f"user-{name}")["member"]
    made["other"] = ok(api.get(f"/v1/members/{world.seed().id}"))
    return world, api, made


def _ids(made: dict[str, Body], *names: str) -> list[str]:
    return [str(made[name]["id"]) for name in names]


Tree = tuple[World, Api, dict[str, Body]]


@pytest.mark.parametrize("limit", [1, 2, 50])
def test_ancestors_are_told_from_the_inviter_to_the_root(tree: Tree, limit: int) -> None:
    _, api, made = tree
    found = pages(api, f"/v1/members/{made['d']['id']}/ancestors?limit={limit}")
    assert [member["id"] for member in found] == _ids(made, "c", "b", "a", "root")
    assert [member["generation"] for member in found] == [3, 2, 1, 0]


@pytest.mark.parametrize("limit", [1, 2, 50])
def test_a_subtree_is_everyone_below_in_the_order_of_joining_with_their_depth(tree: Tree, limit: int) -> None:
    _, api, made = tree
    found = pages(api, f"/v1/members/{made['a']['id']}/subtree?limit={limit}")
    assert [(m["id"], m["depth"]) for m in found] == list(
        zip(_ids(made, "b", "c", "d", "e"), (1, 2, 3, 1), strict=True)
    )
    shallow = pages(api, f"/v1/members/{made['a']['id']}/subtree?limit={limit}&max_depth=2")
    assert [member["id"] for member in shallow] == _ids(made, "b", "c", "e")


def test_invitees_are_the_direct_ones(tree: Tree) -> None:
    _, api, made = tree
    found = pages(api, f"/v1/members/{made['a']['id']}/invitees?limit=1")
    assert [member["id"] for member in found] == _ids(made, "b", "e")
    assert pages(api, f"/v1/members/{made['d']['id']}/invitees") == []


def test_a_summary_counts_the_subtree_and_its_states(tree: Tree) -> None:
    _, api, made = tree
    sanction(api, made["c"]["id"], "ban")
    assert ok(api.get(f"/v1/members/{made['a']['id']}/tree-summary")) == {
        "invitees": 2,
        "descendants": 4,
        "depth": 3,
        "states": {"active": 3, "suspended": 0, "banned": 1, "erased": 0},
    }
    assert ok(api.get(f"/v1/members/{made['other']['id']}/tree-summary"))["descendants"] == 0


def test_members_are_found_by_external_id_state_and_inviter(tree: Tree) -> None:
    _, api, made = tree
    sanction(api, made["b"]["id"], "suspend")
    assert [m["id"] for m in pages(api, "/v1/members?external_id=user-c")] == _ids(made, "c")
    assert [m["id"] for m in pages(api, "/v1/members?state=suspended")] == _ids(made, "b")
    assert [m["id"] for m in pages(api, f"/v1/members?inviter_id={made['a']['id']}")] == _ids(made, "b", "e")
    assert pages(api, "/v1/members?external_id=none") == []
    everyone = pages(api, "/v1/members?limit=2")
    assert [m["id"] for m in everyone] == _ids(made, "root", "a", "b", "c", "d", "e", "other")


@pytest.mark.parametrize("part", ["", "/invitees", "/ancestors", "/subtree", "/tree-summary", "/quota"])
def test_an_unknown_member_has_no_tree(world: World, part: str) -> None:
    no(world.api().get(f"/v1/members/mem_none{part}"), 404, "not_found")


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("limit=0", "query_parameter_invalid"),
        ("limit=201", "query_parameter_invalid"),
        ("limit=x", "query_parameter_invalid"),
        ("limit=1&limit=2", "query_parameter_invalid"),
        ("state=gone", "query_parameter_invalid"),
        ("cursor=!!", "cursor_invalid"),
        ("cursor=", "cursor_invalid"),
        ("page=2", "query_parameter_unknown"),
    ],
)
def test_a_query_that_makes_no_sense_is_refused(world: World, query: str, code: str) -> None:
    no(world.api().get(f"/v1/members?{query}"), 400, code)
