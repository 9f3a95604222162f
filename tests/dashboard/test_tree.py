"""The explorer's data: nearest first, cut where it gets large, and honest about what it leaves out."""

from __future__ import annotations

from typing import Any

import pytest

from identity_service.errors import Refused
from tests.dashboard.conftest import Visitor
from tests.support.network import plant
from tests.support.world import World


def nodes(answer: Any) -> list[dict[str, Any]]:
    return [dict(zip(answer["columns"], row, strict=True)) for row in answer["nodes"]]


def test_a_picture_holds_the_whole_subtree_inviters_first(world: World, admin: Visitor) -> None:
    ids = plant(world, {0: None, 1: 0, 2: 0, 3: 1, 4: 3, 5: None})
    answer: Any = admin.get(f"/tree.json?root={ids[1]}").json
    found = nodes(answer)
    assert [one["ref"] for one in found] == [ids[1], ids[3], ids[4]]
    assert [one["parent"] for one in found] == [-1, 0, 1]
    assert answer["cut"] is False
    assert [one["ref"] for one in answer["path"]] == [ids[0]]


def test_what_is_cut_off_is_counted_where_it_hangs(world: World) -> None:
    # 0 has 1, 2, 3; 1 has 4, 5; 2 has 6; 4 has 7.
    ids = plant(world, {0: None, 1: 0, 2: 0, 3: 0, 4: 1, 5: 1, 6: 2, 7: 4})
    explorer = world.services.explorer

    def hidden(most: int) -> dict[str, int]:
        picture = world.query(lambda tx: explorer.surroundings(tx, ids[0], most))
        assert len(picture.nodes) == min(most, 8)
        assert picture.cut == (most < 8)
        return {node.id: node.hidden for node in picture.nodes if node.hidden}

    assert hidden(8) == {}
    assert sum(hidden(7).values()) == 1
    assert hidden(4) == {ids[1]: 2, ids[2]: 1}
    assert hidden(3) == {ids[0]: 1, ids[1]: 2, ids[2]: 1}
    assert hidden(1) == {ids[0]: 3}


def test_a_star_a_chain_and_a_member_alone_are_pictures_too(world: World) -> None:
    explorer = world.services.explorer
    star = {0: None} | dict.fromkeys(range(1, 1200), 0)
    chain = {5000: None} | {number: number - 1 for number in range(5001, 6200)}
    ids = plant(world, star | chain | {9000: None})

    def picture(root: str, most: int) -> Any:
        return world.query(lambda tx: explorer.surroundings(tx, root, most))

    cut = picture(ids[0], 1000)
    assert cut.nodes[0].hidden == 200
    assert picture(ids[5000], 10_000).nodes[-1].depth == 1199
    assert [node.id for node in picture(ids[9000], 5).nodes] == [ids[9000]]
    for root, most in ((ids[0], 0), (ids[0], 10_001), ("mem_x", 5)):
        with pytest.raises(Refused):
            picture(root, most)


def test_a_growth_role_sees_the_shape_without_names(world: World, growth: Visitor, admin: Visitor) -> None:
    ids = plant(world, {0: None, 1: 0})
    page = growth.get("/tree").text
    assert ids[0] not in page
    root = page.split('data-root="')[1].split('"')[0]
    answer = growth.get(f"/tree.json?root={root}")
    assert ids[0] not in answer.text
    assert [one["label"][:2] for one in nodes(answer.json)] == ["M-", "M-"]
    growth.get(f"/tree.json?root={ids[0]}", code=404)
    assert ids[0] in admin.get("/tree").text


def test_without_members_there_is_an_empty_state_and_wrong_questions_are_refused(
    world: World, admin: Visitor
) -> None:
    assert "There is nobody yet" in admin.get("/tree").text
    admin.get("/tree.json", code=404)
    admin.get("/tree.json?root=mem_x", code=404)
    ids = plant(world, {0: None})
    admin.get(f"/tree.json?root={ids[0]}&most=0", code=400)
    admin.get(f"/tree.json?root={ids[0]}&most=x", code=400)
    admin.get(f"/tree?root={ids[0]}")
