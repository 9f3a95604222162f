"""The invite tree: look at it, hand it to analysts, check it."""

from __future__ import annotations

import sys
from collections import defaultdict
from pathlib import Path
from typing import IO, Final

import rich_click as click
from rich.console import Console
from rich.text import Text
from rich.tree import Tree

from identity_service.api import render
from identity_service.cli.command import REFUSED, Topic
from identity_service.cli.forest import Finding, Network, findings, load_network
from identity_service.cli.output import message, plain, print_json, print_table, printable, write_whole
from identity_service.cli.session import Session, pass_session
from identity_service.db.store import Tx
from identity_service.errors import Refused, not_found
from identity_service.ports import rfc3339
from identity_service.services.members import MemberView
from identity_service.services.paging import Paging

_WIDTH: Final = 200
_COLOURS: Final = {"active": "green", "suspended": "yellow", "banned": "red", "erased": "dim"}


@click.group(cls=Topic)
def tree() -> None:
    """Who invited whom."""


@tree.command()
@click.argument("root")
@click.option("--depth", type=click.IntRange(1, 100_000), help="Only so many steps down.")
@click.option(
    "--limit", default=500, show_default=True, type=click.IntRange(1, 100_000), help="At most so many."
)
@pass_session
def show(session: Session, root: str, depth: int | None, limit: int) -> None:
    r"""Draw the tree below a member.

    With --json: {"data": [...]}, the root first, each member with its depth.

    \b
    Example:
      identity tree show mem_… --depth 2
    """

    def read(tx: Tx) -> tuple[MemberView, list[MemberView], bool]:
        members = session.services.members
        below = members.subtree(tx, root, Paging(limit=limit), max_depth=depth)
        return members.get(tx, root), list(below.data), below.has_more

    top, below, more = session.read(read)
    if session.as_json:
        shapes = [plain(render.member(top)) | {"depth": 0}, *(plain(render.member(view)) for view in below)]
        print_json({"data": shapes, "has_more": more})
    else:
        # A pipe has no width: a deep tree must not be cut there.
        wide = _WIDTH + 4 * max((view.depth or 0 for view in below), default=0)
        width = None if sys.stdout.isatty() else wide
        Console(width=width, no_color=width is not None).print(_drawn(top, below))
    if more:
        message(f"Only the first {limit} below are shown; see --limit and `identity tree export`.")


@tree.command()
@click.argument("root", required=False)
@click.option(
    "--format",
    "file_format",
    required=True,
    type=click.Choice(("graphml", "gexf", "dot", "json", "csv")),
    help="JSON is networkx's node-link form.",
)
@click.option(
    "-o",
    "--output",
    required=True,
    type=click.Path(path_type=Path, dir_okay=False, allow_dash=True),
    help="A file, or - for stdout.",
)
@pass_session
def export(session: Session, root: str | None, file_format: str, output: Path) -> None:
    r"""Write the whole tree, or the one below ROOT, for other programs.

    Pseudonymous: ids, states, generations, countries, levels and times; no phones, nor names of yours.
    Campaigns stand as roots of their own.

    \b
    Example:
      identity tree export --format graphml -o tree.graphml
    """
    from graph.export import ExportFormat
    from graph.export import export as write

    network = session.read(lambda tx: load_network(session.services.members, tx))
    if root is not None and root not in network.forest:
        raise not_found("member")

    def fill(out: IO[str]) -> int:
        return write(network.forest, out, ExportFormat(file_format), root=root, columns=network.columns())

    count = fill(sys.stdout) if str(output) == "-" else write_whole(output, fill)
    message(f"{count} nodes written.")


@tree.command()
@click.pass_context
@pass_session
def check(session: Session, ctx: click.Context) -> None:
    """Check the tree: no cycles, one origin each, generations and counts that fit.  Exit code 1 if not."""
    members = session.services.members

    def read(tx: Tx) -> tuple[Network | None, list[Finding]]:
        network, found = None, []
        try:
            network = load_network(members, tx)
            found += findings(network)
        except Refused as refused:
            found.append(Finding(id="", code=refused.code, detail=refused.detail))
        found += [
            Finding(
                id=row.id, code="uses_miscounted", detail=f"{row.uses} uses, but {row.joined} members joined"
            )
            for row in members.miscounted_invites(tx)
        ]
        return network, found

    network, found = session.read(read)
    counts = {} if network is None else network.counts()
    if session.as_json:
        faults = [{"id": f.id, "code": f.code, "detail": f.detail} for f in found]
        print_json({"ok": not found, "counts": counts, "findings": faults})
    else:
        print_table(("count", "number"), counts.items())
        if found:
            print_table(("id", "fault", "detail"), ((f.id, f.code, f.detail) for f in found))
    if found:
        message(f"{len(found)} faults were found.")
        ctx.exit(REFUSED)
    message("The tree is whole.")


def _drawn(top: MemberView, below: list[MemberView]) -> Tree:
    """Draw without recursion: a chain of invites may be longer than Python's stack."""
    children: dict[str | None, list[MemberView]] = defaultdict(list)
    for view in below:
        children[view.inviter_id].append(view)
    drawn = Tree(_label(top))
    waiting = [(drawn, top.id)]
    while waiting:
        branch, member_id = waiting.pop()
        waiting += [(branch.add(_label(child)), child.id) for child in children[member_id]]
    return drawn


def _label(view: MemberView) -> Text:
    text = Text(view.id)
    if view.external_id:
        text.append(f" {printable(view.external_id)}", style="bold")
    text.append(f" {view.state}", style=_COLOURS[view.state])
    rest = (view.country, view.level, f"quota {view.available}", f"joined {rfc3339(view.joined_at)[:10]}")
    return text.append("".join(f" · {part}" for part in rest if part))
