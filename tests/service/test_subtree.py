"""Subtrees of every shape: walked page by page as a whole, counted as far as one answer goes."""

from __future__ import annotations

import random
from typing import Any

import pytest

from identity_service.services import subtree
from identity_service.services.imports import Newcomer
from identity_service.services.subtree import Place, walk
from tests.service.steps import no, ok, pages
from tests.support.world import World


def grow(world: World, parents: list[int]) -> list[str]:
    """Make members whose inviters are given by index (-1: none); their ids."""
    tree = [
        Newcomer(external_id=f"u{n}", joined_at=0, inviter=None if parent < 0 else f"u{parent}")
        for n, parent in enumerate(parents)
    ]
    world.transact(lambda tx: world.services.imports.bring(tx, tree, "imp_x"))
    known = world.query(lambda tx: world.services.imports.known(tx, [one.external_id for one in tree]))
    return [known[one.external_id].id for one in tree]


def naive(parents: list[int], top: int, depth: int = 0) -> list[tuple[int, int]]:
    """The walk, written down as it is said."""
    found = []
    for n, parent in enumerate(parents):
        if parent == top:
            found += [(n, depth + 1), *naive(parents, n, depth + 1)]
    return found


SHAPES = {
    "random": [-1, *(random.Random(4).randrange(n) for n in range(1, 90))],
    "star": [-1] + [0] * 70,
    "chain": [-1, *range(60)],
    "caterpillar": [-1, *(max(0, n - 2 + n % 2) for n in range(1, 60))],
    "two": [-1, -1, *(n % 2 for n in range(60))],
}


@pytest.mark.parametrize("shape", SHAPES)
def test_from_every_place_the_walk_goes_on_as_if_it_had_not_stopped(world: World, shape: str) -> None:
    parents = SHAPES[shape]
    ids = grow(world, parents)
    for top in (0, 1, 7):
        for max_depth in (None, 1, 3):
            expected = [(ids[n], d) for n, d in naive(parents, top) if max_depth is None or d <= max_depth]

            def walked(
                tx: Any, after: Place | None, top: int = top, max_depth: int | None = max_depth
            ) -> Any:
                found = walk(tx, ids[top], after=after, max_depth=max_depth)
                return [(place.id, place.depth) for place in found]

            assert world.query(lambda tx, w=walked: w(tx, None)) == expected
            for at in range(0, len(expected), 5):
                last = Place(*expected[at])
                assert world.query(lambda tx, w=walked, p=last: w(tx, p)) == expected[at + 1 :]


def test_pages_of_any_size_are_one_walk(world: World) -> None:
    ids, api = grow(world, SHAPES["random"]), world.api()
    expected = [(ids[n], depth) for n, depth in naive(SHAPES["random"], 2)]
    for limit in (1, 7, 200):
        found = pages(api, f"/v1/members/{ids[2]}/subtree?limit={limit}")
        assert [(member["id"], member["depth"]) for member in found] == expected


def test_a_cursor_of_another_subtree_is_refused(world: World) -> None:
    ids, api = grow(world, SHAPES["two"]), world.api()
    cursor = ok(api.get(f"/v1/members/{ids[0]}/subtree?limit=1"))["next_cursor"]
    no(api.get(f"/v1/members/{ids[1]}/subtree?cursor={cursor}"), 400, "cursor_invalid")
    other = ok(api.get("/v1/members?limit=1"))["next_cursor"]
    no(api.get(f"/v1/members/{ids[0]}/subtree?cursor={other}"), 400, "cursor_invalid")


def test_a_subtree_that_is_too_large_is_counted_in_part(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(subtree, "MOST_COUNTED", 59)
    ids = grow(world, SHAPES["chain"])
    whole = world.query(lambda tx: world.services.members.tree_summary(tx, ids[2]))
    assert (whole.descendants, whole.depth, whole.at_least) == (58, 58, False)
    # One more than is counted: 60 below the first.
    more = world.query(lambda tx: world.services.members.tree_summary(tx, ids[0]))
    assert (more.descendants, more.invitees, more.at_least) == (60, 1, True)
    assert ok(world.api().get(f"/v1/members/{ids[0]}/tree-summary"))["at_least"] is True
