"""The tree explorer: a page, and the data of the picture that its script draws."""

from __future__ import annotations

import json
from typing import Any, Final

from flask import Response, request

from identity_service.dashboard.frame import Viewer, asked, dashboard, page, signed_in
from identity_service.dashboard.shapes import NOTHING
from identity_service.db.store import Tx
from identity_service.errors import Refused, not_found
from identity_service.ports import rfc3339
from identity_service.services.explorer import MOST, Picture
from identity_service.services.members import score_of
from identity_service.services.paging import Paging

_ROOTS_OFFERED: Final = 50
_DRAWN: Final = 5_000
_PATH_SHOWN: Final = 100
COLUMNS: Final = (
    "ref",
    "label",
    "parent",
    "state",
    "country",
    "generation",
    "score",
    "hidden",
    "joined",
    "level",
)
WORDS: Final = (
    "all_shown",
    "cut",
    "search_none",
    "search_found",
    "unknown",
    "other",
    "more_below",
    "generation",
    "fold",
    "unfold",
    "failed",
)


@dashboard.get("/tree")
@signed_in()
def tree(viewer: Viewer) -> Response:
    """The explorer, on the subtree that is asked for or on the first one that there is."""
    roots = viewer.read(lambda tx: viewer.services.explorer.roots(tx, _ROOTS_OFFERED))
    root = asked("root", 400)
    shown = viewer.names.id_of(root) if root else roots[0].id if roots else None
    root = "" if shown is None else root or viewer.names.ref(shown)
    words = {name: viewer.say(f"tree.{name}") for name in WORDS}
    words |= {state: viewer.say(f"state.{state}") for state in ("active", "suspended", "banned", "erased")}
    offered = [(row, root if row.id == shown else viewer.names.ref(row.id)) for row in roots]
    among = any(row.id == shown for row in roots)
    return page("tree.html", root=root, roots=offered, offered=among, words=words)


@dashboard.get("/tree.json")
@signed_in()
def tree_json(viewer: Viewer) -> Response:
    """The picture's data: rows of COLUMNS, inviters first, `parent` being the inviter's place in the list."""
    most = request.args.get("most", str(_DRAWN))
    if not (most.isascii() and most.isdigit() and 1 <= int(most[:6]) <= MOST):
        raise Refused("query_parameter_invalid", f"most is 1 to {MOST}.")
    if not asked("root", 400):
        raise not_found("member")
    root_id = viewer.names.id_of(asked("root", 400))

    def read(tx: Tx) -> dict[str, Any]:
        picture = viewer.services.explorer.surroundings(tx, root_id, int(most))
        above = viewer.services.members.ancestors(tx, root_id, Paging(limit=_PATH_SHOWN)).data
        path = [
            {"ref": viewer.names.ref(one.id), "label": viewer.names.label(one.id, one.external_id)}
            for one in reversed(above)
        ]
        return {"columns": COLUMNS, "nodes": _rows(viewer, picture), "cut": picture.cut, "path": path}

    body = json.dumps(viewer.read(read), ensure_ascii=False, separators=(",", ":"))
    return Response(body, mimetype="application/json")


def _rows(viewer: Viewer, picture: Picture) -> list[tuple[Any, ...]]:
    place = {node.id: at for at, node in enumerate(picture.nodes)}
    names = viewer.names
    countries = {code: viewer.country(code) for code in {node.country for node in picture.nodes} if code}
    return [
        (
            names.ref(node.id),
            names.label(node.id, node.external_id),
            -1 if at == 0 else place[str(node.inviter_id)],
            node.state,
            None if node.country is None or countries[node.country] == NOTHING else countries[node.country],
            node.generation,
            score_of(node.trust_log_odds),
            node.hidden,
            rfc3339(node.joined_at)[:10],
            viewer.say.known(f"level.{node.level}", node.level),
        )
        for at, node in enumerate(picture.nodes)
    ]
