"""Outside data in two shapes: who rated whom, and labelled trees.

**Ratings**: CSV lines ``source,target,rating,time`` with or without a header (of these names); names are
text, ratings are numbers (negative is bad), times are seconds since 1970 and need not be sorted. This is
how the Bitcoin trust networks are published (Kumar et al., "Edge weight prediction in weighted signed
networks", 2016).

**Labelled tree**: CSV with a header that has ``member``, ``inviter`` (empty for seeds) and ``bad`` (0 or
1), and may have ``reports`` (distinct inviter branches that reported), ``banned``, ``verified`` and
``sold`` (0 or 1). Rows may come in any order.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from graph.errors import BadTable, MemberKey
from graph.forest import InviteForest
from graph.trust.evidence import EvidenceKind, EvidencePolicy, Facts


@dataclass(frozen=True, kw_only=True, slots=True)
class Rating:
    """One member's judgement of another; `time` in seconds since 1970."""

    source: str
    target: str
    value: float
    time: float


@dataclass(frozen=True, kw_only=True)
class RatedForest:
    """The forest that ratings imply.

    A member's inviter is the first who rated it positively and had been present before it; presence begins
    with the first rating given or received.

    Attributes
    ----------
    forest : InviteForest
        In order of first presence.
    ratings : tuple of Rating
        By time.
    joined : dict
        When each invited member's inviter rated it, by index; the tree did not know the edge before.
    """

    forest: InviteForest
    ratings: tuple[Rating, ...]
    joined: dict[int, float]


@dataclass(frozen=True, kw_only=True)
class LabelledTree:
    """A forest with truth and evidence by index, shape (n,) each."""

    forest: InviteForest
    bad: NDArray[np.bool_]
    own: NDArray[np.float64]
    sold: NDArray[np.bool_]


def has_labels(header: str) -> bool:
    """Whether the first line of a file announces a labelled tree (and not ratings)."""
    names = {name.strip().lower() for name in header.split(",")}
    return {"member", "inviter", "bad"} <= names


def read_ratings(lines: Iterable[str]) -> list[Rating]:
    """Read ratings; return them by time (stable).

    Raises
    ------
    BadTable
        With the line, if one cannot be read.

    Examples
    --------
    >>> [rating.value for rating in read_ratings(["source,target,rating,time", "2,1,-10,7", "1,2,3,5"])]
    [3.0, -10.0]
    """
    ratings: list[Rating] = []
    for number, row in enumerate(csv.reader(lines), start=1):
        if not row or (number == 1 and _is_header(row)):
            continue
        ratings.append(_rating(number, row))
    return sorted(ratings, key=lambda rating: rating.time)


def _rating(number: int, row: Sequence[str]) -> Rating:
    if len(row) != 4:
        raise BadTable(number, f"source,target,rating,time are four columns, not {len(row)}")
    source, target, value, time = (cell.strip() for cell in row)
    if not source or not target:
        raise BadTable(number, "source and target need names")
    if source == target:
        raise BadTable(number, f"{source!r} rates itself")
    if not _is_number(value) or not _is_number(time):
        raise BadTable(number, "rating and time are finite numbers")
    return Rating(source=source, target=target, value=float(value), time=float(time))


def _is_header(row: Sequence[str]) -> bool:
    return row[0].strip().lower() in {"source", "from"} or row[-1].strip().lower() == "time"


def _is_number(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False


def rated_forest(ratings: Sequence[Rating]) -> RatedForest:
    """Find each member's inviter in ratings that are sorted by time. O(ratings).

    Examples
    --------
    >>> rated = rated_forest(read_ratings(["ada,bob,5,1", "bob,cyd,3,2", "ada,cyd,9,3"]))
    >>> [rated.forest.inviter(rated.forest.index(name)) for name in ("ada", "bob", "cyd")]
    [-1, -1, 1]
    """
    present: dict[str, float] = {}
    for rating in ratings:
        present.setdefault(rating.source, rating.time)
        present.setdefault(rating.target, rating.time)
    inviters: dict[str, Rating] = {}
    for rating in ratings:
        earlier = present[rating.source] < present[rating.target]
        if rating.value > 0 and earlier:
            inviters.setdefault(rating.target, rating)
    forest = InviteForest()
    members = sorted(present, key=lambda name: present[name])
    forest.extend(members, [inviters[name].source if name in inviters else None for name in members])
    joined = {forest.index(name): rating.time for name, rating in inviters.items()}
    return RatedForest(forest=forest, ratings=tuple(ratings), joined=joined)


_FLAGS = {
    "banned": EvidenceKind.BAN,
    "verified": EvidenceKind.STAFF_VERIFIED,
    "sold": EvidenceKind.SOLD_INVITES,
}


def read_labelled_tree(lines: Iterable[str], policy: EvidencePolicy | None = None) -> LabelledTree:
    """Read a labelled tree; evidence gets its weights from `policy`.

    Raises
    ------
    BadTable
        If a column is missing or a cell cannot be read, with the line.
    CycleFound, TwoInviters, UnknownMember
        If the rows are no forest.

    Examples
    --------
    >>> tree = read_labelled_tree(["member,inviter,bad,reports", "bob,ada,1,2", "ada,,0,0"])
    >>> tree.bad.tolist(), tree.own.tolist()
    ([True, False], [-1.4, 0.0])
    """
    weights = policy or EvidencePolicy()
    reader = csv.DictReader(lines)
    missing = {"member", "inviter", "bad"} - set(reader.fieldnames or ())
    if missing:
        raise BadTable(1, f"the header lacks {', '.join(sorted(missing))}")
    members: list[MemberKey] = []
    inviters: list[MemberKey | None] = []
    truths: list[bool] = []
    facts: list[Facts] = []
    for number, row in enumerate(reader, start=2):
        if not row["member"]:
            raise BadTable(number, "a member needs a name")
        members.append(row["member"])
        inviters.append(row["inviter"] or None)
        truths.append(bool(_count(number, row, "bad", most=1)))
        flags = [kind.bit for name, kind in _FLAGS.items() if _count(number, row, name, most=1)]
        facts.append(Facts(flags=sum(flags), report_branches=_count(number, row, "reports")))
    forest = InviteForest()
    indexes = forest.extend(members, inviters)
    if len(forest) != len(members):
        twice = int(np.argmin(indexes == np.arange(len(members))))
        raise BadTable(twice + 2, f"{members[twice]!r} stands there twice")
    bad, own = np.zeros(len(forest), dtype=bool), np.zeros(len(forest))
    sold = np.zeros(len(forest), dtype=bool)
    bad[indexes] = truths
    own[indexes] = [weights.travelling(known, 0.0) for known in facts]
    sold[indexes] = [known.is_adjudicated for known in facts]
    return LabelledTree(forest=forest, bad=bad, own=own, sold=sold)


def _count(number: int, row: dict[str, str], name: str, *, most: int = 1_000_000) -> int:
    cell = (row.get(name) or "0").strip()
    if not cell.isascii() or not cell.isdigit() or int(cell) > most:
        raise BadTable(number, f"{name} is a whole number from 0 to {most}, not {cell!r}")
    return int(cell)


def by_time(ratings: Iterable[Rating]) -> Iterator[tuple[float, list[Rating]]]:
    """Group sorted ratings by their time: what happens at one moment knows nothing of itself."""
    batch: list[Rating] = []
    for rating in ratings:
        if batch and rating.time != batch[0].time:
            yield batch[0].time, batch
            batch = []
        batch.append(rating)
    if batch:
        yield batch[0].time, batch
