"""InviteForest: what it holds, what it refuses, and that a refusal leaves it as it was."""

import random
import tracemalloc
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from graph import (
    BadIdentifier,
    BadParameter,
    CycleFound,
    ForestCorrupt,
    GraphError,
    InviteForest,
    TwoInviters,
    UnknownIndex,
    UnknownMember,
)
from graph.ids import MAX_TEXT_BYTES, IdIndex
from tests.graph.strategies import parent_lists, random_parents


def same_shape(one: InviteForest, other: InviteForest) -> bool:
    def edges(forest: InviteForest) -> set[tuple[object, object]]:
        return {
            (forest.name(index), None if forest.inviter(index) < 0 else forest.name(forest.inviter(index)))
            for index in range(len(forest))
        }

    return edges(one) == edges(other)


@given(parent_lists(), st.randoms(use_true_random=False))
def test_one_by_one_and_all_at_once_in_any_order_make_the_same_forest(
    parents: list[int], shuffler: random.Random
) -> None:
    slow = InviteForest()
    for member, parent in enumerate(parents):
        slow.add_seed(f"m{member}") if parent < 0 else slow.add(f"m{member}", inviter=f"m{parent}")
    rows = [(f"m{member}", None if parent < 0 else f"m{parent}") for member, parent in enumerate(parents)]
    rows += rows[: len(rows) // 2]
    shuffler.shuffle(rows)
    fast = InviteForest()
    indexes = fast.extend([member for member, _ in rows], [inviter for _, inviter in rows])
    fast.check()
    slow.check()
    assert same_shape(slow, fast)
    assert [fast.name(index) for index in indexes] == [member for member, _ in rows]
    assert all(fast.depth(fast.index(slow.name(index))) == slow.depth(index) for index in range(len(slow)))


@given(parent_lists(), st.integers(min_value=0, max_value=24))
def test_a_batch_that_joins_an_existing_forest_hangs_below_it(parents: list[int], cut: int) -> None:
    names = list(range(100, 100 + len(parents)))
    inviters = [None if parent < 0 else names[parent] for parent in parents]
    whole, grown = InviteForest(), InviteForest()
    whole.extend(names, inviters)
    grown.extend(names[:cut], inviters[:cut])
    grown.extend(names[cut:], inviters[cut:])
    grown.check()
    assert same_shape(whole, grown)
    assert grown.depths.tolist() == whole.depths.tolist()
    for index in range(len(whole)):
        assert list(whole.children(index)) == list(grown.children(index))


def test_children_come_newest_first() -> None:
    forest = InviteForest.from_parents([-1, 0, 0, 0])
    assert list(forest.children(0)) == [3, 2, 1]
    forest.add(4, inviter=0)
    assert list(forest.children(0)) == [4, 3, 2, 1]


def test_telling_the_same_invitation_twice_changes_nothing() -> None:
    forest = InviteForest()
    forest.add_seed(1)
    assert forest.add(2, inviter=1) == forest.add(2, inviter=1) == 1
    assert forest.add_seed(1) == 0
    assert len(forest) == 2
    forest.check()


@pytest.mark.parametrize(
    ("parents", "cycle"),
    [([0], (0,)), ([1, 0], (0, 1)), ([1, 2, 0, 2], (0, 1, 2)), ([-1, 0, 3, 4, 2], (2, 3, 4))],
)
def test_a_circle_is_refused_with_its_members_in_order(parents: list[int], cycle: tuple[int, ...]) -> None:
    with pytest.raises(CycleFound) as refused:
        InviteForest.from_parents(parents)
    assert refused.value.cycle == cycle
    assert refused.value.code == "cycle_found"


def test_a_circle_of_a_hundred_thousand_is_found_and_its_message_stays_short() -> None:
    parents = np.roll(np.arange(100_000), 1)
    with pytest.raises(CycleFound) as refused:
        InviteForest.from_parents(parents)
    assert len(refused.value.cycle) == 100_000
    assert len(str(refused.value)) < 200


def test_inviting_oneself_is_a_circle_of_one() -> None:
    forest = InviteForest()
    with pytest.raises(CycleFound):
        forest.add("ada", inviter="ada")
    assert len(forest) == 0


def test_a_second_inviter_is_refused_and_both_are_named() -> None:
    forest = InviteForest.from_parents([-1, -1, 0])
    with pytest.raises(TwoInviters) as refused:
        forest.add(2, inviter=1)
    assert (refused.value.member, refused.value.first, refused.value.second) == (2, 0, 1)
    with pytest.raises(TwoInviters):
        forest.add_seed(2)
    with pytest.raises(TwoInviters):
        forest.add(0, inviter=1)


@pytest.mark.parametrize(
    ("members", "inviters", "error"),
    [
        ([7, 8], [0, 99], UnknownMember),
        ([7, 7], [0, 1], TwoInviters),
        ([7, 2], [0, 1], TwoInviters),
        ([7, 8, 9], [0, 9, 8], CycleFound),
        ([7, 0], [0, 7], TwoInviters),
        ([7, "8"], [0, 0], BadIdentifier),
        ([7, True], [0, 0], BadIdentifier),
        ([7, 2**63], [0, 0], BadIdentifier),
        ([7, 8], [0, 1.5], BadIdentifier),
        ([7, 8], [0], BadParameter),
    ],
)
def test_a_refused_batch_leaves_no_trace(
    members: list[Any], inviters: list[Any], error: type[GraphError]
) -> None:
    forest = InviteForest.from_parents([-1, 0, 0])
    with pytest.raises(error):
        forest.extend(members, inviters)
    assert len(forest) == 3
    assert 7 not in forest
    forest.check()
    assert forest.add(7, inviter=0) == 3


@pytest.mark.parametrize("index", [-1, 3, 15, 16, 2**40])
def test_an_index_without_a_node_is_refused_and_nothing_counts_from_the_end(index: int) -> None:
    forest = InviteForest.from_parents([-1, 0, 1])
    for asked in (forest.inviter, forest.depth, forest.first_child, forest.next_sibling, forest.name):
        with pytest.raises(UnknownIndex) as refused:
            asked(index)
        assert refused.value.index == index
    with pytest.raises(UnknownIndex):
        list(forest.children(index))
    with pytest.raises(UnknownIndex):
        forest.names([0, index])


def test_an_unknown_inviter_is_named() -> None:
    forest = InviteForest()
    with pytest.raises(UnknownMember) as refused:
        forest.add("bob", inviter="nobody")
    assert refused.value.member == "nobody"
    assert str(refused.value) == "no member 'nobody' in the forest"
    assert len(forest) == 0


@pytest.mark.parametrize("name", ["", "a\0b", "x" * (MAX_TEXT_BYTES + 1), "\ud800", 1, None, 2.5])
def test_text_forests_refuse_names_that_cannot_be_told_apart_later(name: object) -> None:
    forest = InviteForest()
    forest.add_seed("ada")
    with pytest.raises(BadIdentifier):
        forest.add_seed(name)  # type: ignore[arg-type]
    assert name not in forest
    assert len(forest) == 1


def test_a_refused_first_name_does_not_decide_the_kind() -> None:
    forest = InviteForest()
    with pytest.raises(BadIdentifier):
        forest.add_seed("")
    assert forest.add_seed(5) == 0


def test_names_of_growing_length_stay_distinct() -> None:
    forest = InviteForest()
    names = ["ж" * length for length in range(1, 60)] + ["a" * length for length in range(1, 120)]
    for name in names:
        forest.add_seed(name)
    assert [forest.index(name) for name in names] == list(range(len(names)))
    assert forest.names() == names


def test_a_name_longer_than_any_stored_one_is_not_mistaken_for_its_beginning() -> None:
    index = IdIndex()
    index.add("abcdefgh")
    assert index.find("abcdefghi") == -1
    assert index.find_many(["abcdefghi", "abcdefgh"]).tolist() == [-1, 0]


@given(st.lists(st.integers(min_value=-(2**63), max_value=2**63 - 1)))
def test_integer_names_of_the_whole_range_are_found_again(names: list[int]) -> None:
    bulk, single = IdIndex(), IdIndex()
    assert bulk.extend(names).tolist() == [single.add(name) for name in names]
    assert [bulk.find(name) for name in names] == bulk.find_many(names).tolist()
    assert list(bulk) == list(single) == list(dict.fromkeys(names))


@given(
    st.lists(st.text(min_size=1, max_size=20).filter(lambda text: "\0" not in text and text.isprintable()))
)
def test_text_names_are_found_again(names: list[str]) -> None:
    bulk, single = IdIndex(), IdIndex()
    assert bulk.extend(names).tolist() == [single.add(name) for name in names]
    assert [bulk.find(name) for name in names] == bulk.find_many(names).tolist()
    assert list(bulk) == list(dict.fromkeys(names))


@pytest.mark.parametrize("name", ["", "a\0", "\0", "a" * (MAX_TEXT_BYTES + 1), "\ud800", 5, b"bob", None])
def test_a_bad_name_behind_good_ones_is_refused_in_bulk_as_it_is_alone(name: Any) -> None:
    """Fault: NumPy takes bytes and numbers for text, and cuts NULs and long names off."""
    index = IdIndex()
    for more in ([], ["ж"]):
        with pytest.raises(BadIdentifier):
            index.extend(["ada", *more, name])
    assert index.extend(["ada", "ж", "bob"]).tolist() == [0, 1, 2]
    assert index.find_many(["bob", "bo", "eve", "ж", "ж" * 30]).tolist() == [2, -1, -1, 1, -1]


def test_campaigns_are_roots_and_no_members() -> None:
    forest = InviteForest()
    campaign = forest.add_campaign("campaign:spring")
    forest.add("ada", inviter="campaign:spring")
    assert forest.add_campaign("campaign:spring") == campaign
    assert forest.member_count == 1
    assert forest.is_campaign(campaign)
    with pytest.raises(BadIdentifier):
        forest.add_campaign("ada")
    with pytest.raises(BadIdentifier):
        forest.add_seed("campaign:spring")


def test_the_empty_forest_answers_everything() -> None:
    forest = InviteForest()
    assert len(forest) == 0
    assert forest.roots().tolist() == forest.names() == []
    assert forest.extend([], []).tolist() == []
    assert forest.levels().spans == ()
    assert InviteForest.from_parents([]).member_count == 0
    forest.check()
    with pytest.raises(UnknownMember):
        forest.index("ada")


def test_a_million_roots_are_one_level() -> None:
    forest = InviteForest.from_parents(np.full(1_000_000, -1))
    assert len(forest.roots()) == 1_000_000
    assert not forest.depths.any()


def test_parents_outside_of_the_array_are_unknown_members() -> None:
    for parents in ([-2], [1], [-1, 5]):
        with pytest.raises(UnknownMember):
            InviteForest.from_parents(parents)


def test_names_given_with_parents_must_be_distinct() -> None:
    with pytest.raises(BadIdentifier) as refused:
        InviteForest.from_parents([-1, 0, 0], names=["ada", "bob", "ada"])
    assert refused.value.identifier == "ada"


def test_views_of_the_arrays_cannot_be_written() -> None:
    forest = InviteForest.from_parents([-1, 0])
    with pytest.raises(ValueError, match="read-only"):
        forest.parents[0] = 1


def test_check_finds_an_array_that_was_written_from_outside() -> None:
    forest = InviteForest.from_parents([-1, 0, 1])
    forest._depth[2] = 7
    with pytest.raises(ForestCorrupt) as refused:
        forest.check()
    assert refused.value.member == 2


def test_a_member_costs_no_python_object() -> None:
    parents = random_parents(np.random.default_rng(5), 200_000)
    tracemalloc.start()
    try:
        forest = InviteForest.from_parents(parents)
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert held / len(forest) < 40, "bytes a member"
