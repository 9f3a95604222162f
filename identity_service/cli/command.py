"""How commands are made: the options that all have, and the exit code of every error."""

from __future__ import annotations

import json
import re
import sys
from datetime import UTC, datetime
from typing import Any, Final, TypeVar

import rich_click as click
from pydantic import BaseModel, TypeAdapter, ValidationError

from identity_service.api.schemas import Time
from identity_service.cli.output import message
from identity_service.cli.session import Session
from identity_service.errors import Misconfigured, Refused, Unavailable
from identity_service.policy.values import span
from identity_service.ports import Instant, instant_of, rfc3339

M = TypeVar("M", bound=BaseModel)
REFUSED: Final = 1
WRONG_USAGE: Final = 2
UNREACHABLE: Final = 3
_DAY: Final = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
MANY: Final = 100
"""A change of more things than this is asked about first."""


def _note_json(ctx: click.Context, _param: click.Parameter, value: bool) -> None:
    if value:
        ctx.ensure_object(Session).as_json = True


def _note_operator(ctx: click.Context, _param: click.Parameter, value: str | None) -> None:
    if value is not None:
        ctx.ensure_object(Session).operator = value


def _common_options() -> list[click.Parameter]:
    return [
        click.Option(
            ["--json"],
            is_flag=True,
            expose_value=False,
            callback=_note_json,
            help="Print data, and a refusal, as JSON.",
        ),
        click.Option(
            ["--as"],
            metavar="NAME",
            expose_value=False,
            callback=_note_operator,
            help="Who acts, for the audit.  [default: IDENTITY_OPERATOR, else the system's user]",
        ),
    ]


def _as_written(options: dict[str, Any]) -> dict[str, Any]:
    """Let the mark of a paragraph that keeps its lines stand in raw docstrings: there it is two letters."""
    if options.get("help"):
        options["help"] = options["help"].replace("\\b\n", "\b\n")
    return options


class Plain(click.RichCommand):
    """A command that prints no data."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **_as_written(options))


class Command(Plain):
    """A command that prints data: with `--json` and `--as`, before or after everything else."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.params.extend(_common_options())


class Topic(click.RichGroup):
    """A group of commands about one thing."""

    command_class = Command
    group_class = type


class TopicAlone(Topic):
    """A group that is a command by itself, too."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.params.extend(_common_options())


class Root(Topic):
    """The top of the tree: turns what was raised into a message and an exit code."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.params.extend(_common_options())

    def invoke(self, ctx: click.Context) -> Any:
        session = ctx.ensure_object(Session)
        try:
            return super().invoke(ctx)
        except Refused as refused:
            tell_refusal(refused, as_json=session.as_json)
            ctx.exit(REFUSED)
        except Misconfigured as wrong:
            for fault in wrong.faults:
                message(fault)
            ctx.exit(WRONG_USAGE)
        except Unavailable as error:
            message(str(error))
            ctx.exit(UNREACHABLE)
        finally:
            session.close()


def tell_refusal(refused: Refused, *, as_json: bool) -> None:
    """Say on stderr what was refused and why."""
    if as_json:
        document: dict[str, Any] = {"code": refused.code, "detail": refused.detail}
        if refused.retry_at is not None:
            document["retry_at"] = rfc3339(refused.retry_at)
        if refused.errors:
            document["errors"] = [
                {"pointer": error.pointer, "code": error.code, "detail": error.detail}
                for error in refused.errors
            ]
        message(json.dumps(document | dict(refused.data)))
        return
    message(f"{refused.code}: {refused.detail}")
    for error in refused.errors:
        if error.detail != refused.detail:
            message(f"  {error.pointer}: {error.detail}")
    if refused.retry_at is not None:
        message(f"  not before {rfc3339(refused.retry_at)}")


class Span(click.ParamType[Instant]):
    """A whole number with a unit (`30m`, `7d`), as microseconds."""

    name = "span"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Instant:
        if isinstance(value, int):
            return value
        try:
            return span(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


SPAN: Final = Span()


class When(click.ParamType[Instant]):
    """A day (its first instant, UTC), or an RFC 3339 time."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Instant:
        if isinstance(value, int):
            return value
        if not _DAY.fullmatch(value):
            return int(checked_value(Time, param.opts[0] if param else "--time", value))
        try:
            return instant_of(datetime.fromisoformat(value).replace(tzinfo=UTC))
        except ValueError:
            self.fail("there is no such day", param, ctx)


WHEN: Final = When()


def checked(model: type[M], **values: Any) -> M:
    """Hold options to the rules of the REST API's field of the same name; wrong ones are wrong usage."""
    try:
        return model.model_validate(values)
    except ValidationError as error:
        lines = [
            f"--{'-'.join(str(part) for part in item['loc']).replace('_', '-')}: {item['msg']}"
            for item in error.errors(include_url=False, include_input=False, include_context=False)
        ]
        raise click.UsageError("\n".join(lines)) from None


def checked_value(kind: Any, option: str, value: Any) -> Any:
    """Hold one value to a type of the REST API."""
    try:
        return TypeAdapter(kind).validate_python(value)
    except ValidationError as error:
        found = error.errors(include_url=False, include_input=False, include_context=False)
        raise click.UsageError(f"{option}: {found[0]['msg']}") from None


def ask_first(count: int, question: str, *, yes: bool) -> None:
    """Ask before a change of many things.

    Where nobody can be asked only `--yes` lets it happen: a script must mean it.
    """
    if yes or count <= MANY:
        return
    if not sys.stdin.isatty():
        raise click.UsageError(f"{question} Nobody can be asked here: say --yes, or look with --dry-run.")
    click.confirm(question, abort=True, err=True)
