"""What is printed: JSON in the API's shapes, tables for people, plain columns for pipes."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Protocol

import rich_click as click
from pydantic import BaseModel
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text


def message(text: str) -> None:
    """Tell something on stderr."""
    click.echo(printable(text, keep="\n"), err=True)


def printable(text: str, keep: str = "") -> str:
    """Return a text from outside without what would steer a terminal."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c in keep else "\N{REPLACEMENT CHARACTER}" for c in text)


def plain(model: BaseModel) -> dict[str, Any]:
    """Return a model as the API would send it."""
    shape: dict[str, Any] = json.loads(model.model_dump_json(exclude_defaults=True))
    return shape


def print_json(value: BaseModel | Mapping[str, Any] | Sequence[Any]) -> None:
    shape = plain(value) if isinstance(value, BaseModel) else value
    click.echo(json.dumps(shape, ensure_ascii=False, indent=2))


def print_json_line(value: Mapping[str, Any]) -> None:
    """Print one item of a stream."""
    click.echo(json.dumps(value, ensure_ascii=False, separators=(",", ":")))


def cell(value: object) -> str:
    match value:
        case None:
            return "-"
        case bool():
            return "yes" if value else "no"
        case float():
            return f"{value:.3f}"
        case _:
            return printable(str(value))


def print_table(columns: Sequence[str], rows: Iterable[Iterable[object]]) -> None:
    """Print a table on a terminal, tab-separated columns under a header elsewhere."""
    if not sys.stdout.isatty():
        click.echo("\t".join(columns))
        for row in rows:
            click.echo("\t".join(cell(value) for value in row))
        return
    table = Table(*columns, box=None, header_style="bold", pad_edge=False)
    for row in rows:
        table.add_row(*(Text(cell(value)) for value in row))
    Console().print(table)


def print_fields(fields: Mapping[str, object]) -> None:
    """Print one thing, a field a line."""
    if not sys.stdout.isatty():
        for name, value in fields.items():
            click.echo(f"{name}\t{cell(value)}")
        return
    table = Table(box=None, show_header=False, pad_edge=False)
    for name, value in fields.items():
        table.add_row(Text(name, style="bold"), Text(cell(value)))
    Console().print(table)


_HEIGHTS = "▁▂▃▄▅▆▇█"


def sparkline(values: Sequence[float]) -> str:
    """Draw values as one line of little bars, the largest the highest.

    Examples:
        >>> sparkline([0, 1, 2, 4])
        '▁▃▅█'
    """
    most = max(values, default=0)
    steps = len(_HEIGHTS) - 1
    return "".join(
        _HEIGHTS[round(steps * max(0, value) / most)] if most > 0 else _HEIGHTS[0] for value in values
    )


class Bar(Protocol):
    def __call__(self, done: int) -> None:
        """Move the bar on by so many."""


@contextmanager
def progress(what: str, total: int | None) -> Iterator[Bar]:
    """Show a bar on stderr while long work runs, where stderr is a terminal."""
    if not sys.stderr.isatty():
        yield lambda done: None  # noqa: ARG005 - nobody looks
        return
    columns = (TextColumn(what), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as shown:
        task = shown.add_task(what, total=total)
        yield lambda done: shown.advance(task, done)


class Stages(Protocol):
    def __call__(self, what: str, done: int, of: int) -> None:
        """Move the bar of this stage on by so many; a new stage begins a new one."""


@contextmanager
def stages() -> Iterator[Stages]:
    """Show long work of several stages on stderr, a bar for each, where stderr is a terminal."""
    if not sys.stderr.isatty():
        yield lambda what, done, of: None  # noqa: ARG005 - nobody looks
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as shown:
        tasks: dict[tuple[str, int], TaskID] = {}

        def move(what: str, done: int, of: int) -> None:
            if (what, of) not in tasks:
                tasks[what, of] = shown.add_task(what, total=of)
            shown.advance(tasks[what, of], done)

        yield move


def write_whole(path: Path, fill: Callable[[IO[str]], int], *, private: bool = False) -> int:
    """Write a file that is there only when it is whole; return what `fill` returns.

    Parameters:
        private: only its owner may read it.
    """
    draft = path.with_name(f".{path.name}.part")
    try:
        with draft.open("w", encoding="utf-8", newline="") as out:
            if private:
                draft.chmod(0o600)
            count = fill(out)
        draft.replace(path)
    except OSError as error:
        raise click.UsageError(f"{path}: {error.strerror}") from None
    finally:
        draft.unlink(missing_ok=True)
    return count
