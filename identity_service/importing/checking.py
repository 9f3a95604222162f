"""The checks that need more than one line: repeats, unknown inviters, cycles, and who falls with whom.

Every step works on whole columns.  A row keeps the first fault that is found; who stands below a refused row
is refused for that.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from graph import InviteForest
from graph.circles import on_circles
from graph.ids import item_view
from identity_service.importing.faults import Fault
from identity_service.importing.sheet import NEVER, NOBODY, Sheet


@dataclass(kw_only=True)
class Present:
    """What the store says about the external ids of a file, by key.

    Attributes:
        is_here: whether there is such a member, shape (keys,).
        joined: when it joined.
        as_told: for a row (not a key): whether the member came as the row says, shape (n,).
    """

    is_here: NDArray[np.bool_]
    joined: NDArray[np.int64]
    as_told: NDArray[np.bool_]

    @classmethod
    def nobody(cls, sheet: Sheet) -> Present:
        keys = len(sheet.names)
        return cls(
            is_here=np.zeros(keys, dtype=bool),
            joined=np.full(keys, NEVER, dtype=np.int64),
            as_told=np.zeros(len(sheet), dtype=bool),
        )


def rows_of_keys(sheet: Sheet) -> NDArray[np.int32]:
    """Return the first row of each external id, or NOBODY, shape (keys,)."""
    first = np.full(len(sheet.names), NOBODY, dtype=np.int32)
    keys = sheet.rows["key"]
    rows = np.flatnonzero(keys != NOBODY)
    # Assigned backwards, the first row of a name is the one that stays.
    first[keys[rows][::-1]] = rows[::-1]
    return first


def refuse_repeats(sheet: Sheet) -> None:
    """Refuse a second row of one member, and a second member of one phone: the first one stands."""
    keys = sheet.rows["key"]
    named = np.flatnonzero(keys != NOBODY)
    first = rows_of_keys(sheet)[keys[named]]
    again = first != named
    sheet.refuse(named[again], Fault.EXTERNAL_ID_REPEATED, first[again])
    phones = sheet.rows["phone"]
    rows = np.flatnonzero((phones != 0) & sheet.good())
    _, at, group = np.unique(phones[rows], return_index=True, return_inverse=True)
    first = rows[at[group]]
    again = first != rows
    sheet.refuse(rows[again], Fault.PHONE_REPEATED, first[again])


def judge_origins(sheet: Sheet, present: Present) -> None:
    """Settle where each row's member comes from: who is there already, who has no inviter, who goes round."""
    keys, inviters = sheet.rows["key"], sheet.rows["inviter"]
    rows = np.flatnonzero((keys != NOBODY) & sheet.good())
    there = rows[present.is_here[keys[rows]]]
    sheet.here[there] = present.as_told[there]
    sheet.refuse(there[~present.as_told[there]], Fault.INVITER_DIFFERS)

    parents = _parents(sheet)
    invited = np.flatnonzero((inviters != NOBODY) & ~sheet.here)
    lost = invited[(parents[invited] == NOBODY) & ~present.is_here[inviters[invited]]]
    sheet.refuse(lost, Fault.INVITER_UNKNOWN)

    parents[sheet.here] = NOBODY
    round_ = on_circles(parents)
    sheet.refuse(round_, Fault.CYCLE, parents[round_])

    # Who is there already joined when the store says; its row may be of an older copy.
    inviter_keys = inviters[invited]
    joined = np.where(
        present.is_here[inviter_keys],
        present.joined[inviter_keys],
        np.where(parents[invited] == NOBODY, NEVER, sheet.rows["joined"][parents[invited]]),
    )
    early = sheet.rows["joined"][invited] < joined
    sheet.refuse(invited[early], Fault.JOINED_BEFORE_INVITER)


def refuse_below_refused(sheet: Sheet) -> None:
    """Refuse everybody whose inviter's row is refused, down to the leaves."""
    parents, fault, other = _parents(sheet), sheet.rows["fault"], sheet.other
    parents[sheet.here] = NOBODY  # nothing is done to these, whoever stands above
    parents[on_circles(parents)] = NOBODY
    fault_of, other_of, parent_of = item_view(fault), item_view(other), item_view(parents)
    levels = InviteForest.from_parents(parents).levels()
    for span in levels.downwards():
        rows = levels.order[span.start : span.stop]
        if span.scalar:
            for row in rows.tolist():
                above = parent_of[row]
                if above != NOBODY and fault_of[above] and not fault_of[row]:
                    fault_of[row], other_of[row] = Fault.INVITER_REFUSED, above
            continue
        above_all = parents[rows]
        if above_all[0] != NOBODY:  # a wide span lies within one level: all roots or none
            falls = fault[above_all] != Fault.NONE
            sheet.refuse(rows[falls], Fault.INVITER_REFUSED, above_all[falls])


def writing_order(sheet: Sheet) -> NDArray[np.int64]:
    """Return the rows to write: in the order of joining, inviters always before invitees."""
    rows = np.flatnonzero(sheet.good() & ~sheet.here)
    parents = _parents(sheet)
    parents[on_circles(parents)] = NOBODY
    depths = InviteForest.from_parents(parents).depths
    # Nobody joined before its inviter, so that only those of one instant need their depth.
    return rows[np.lexsort((depths[rows], sheet.rows["joined"][rows]))]


def _parents(sheet: Sheet) -> NDArray[np.int32]:
    """Return each row's inviter's row; NOBODY for roots and where the inviter is not in the file."""
    inviters = sheet.rows["inviter"]
    first: NDArray[Any] = np.append(rows_of_keys(sheet), np.int32(NOBODY))  # NOBODY's own row is the last
    parents: NDArray[np.int32] = first[inviters].astype(np.int32)
    return parents
