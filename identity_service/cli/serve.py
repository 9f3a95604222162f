"""The long-running processes (web and worker), the description of the API, and the demo."""

from __future__ import annotations

import errno
import multiprocessing
import shutil
import socket
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from time import monotonic
from typing import Any, Final

import rich_click as click

from identity_service.cli.command import WHEN, Plain, TopicAlone
from identity_service.cli.output import message, print_fields, print_json, stages
from identity_service.cli.session import Session, pass_session
from identity_service.config import Settings, share_metrics
from identity_service.errors import Refused
from identity_service.ports import DAY, Instant

DEFAULT_HOST: Final = "127.0.0.1"
DEFAULT_PORT: Final = 8000
_BACKLOG: Final = 1024
_STOP_SECONDS: Final = 8
_POSTGRES_WORKERS: Final = 2
_POSTGRES_THREADS: Final = 4
# granian logs to stdout by itself, which is for data.
_LOGGING: Final[dict[str, Any]] = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"plain": {"format": "granian: %(message)s"}},
    "handlers": {
        "stderr": {"class": "logging.StreamHandler", "formatter": "plain", "stream": "ext://sys.stderr"}
    },
    "loggers": {"_granian": {"handlers": ["stderr"], "level": "WARNING", "propagate": False}},
}


@click.command(cls=Plain)
@click.option("--host", default=DEFAULT_HOST, show_default=True, help="The address to listen on.")
@click.option(
    "--port", default=DEFAULT_PORT, show_default=True, type=click.IntRange(1, 65535), help="And the port."
)
@click.option(
    "--workers",
    type=click.IntRange(1, 64),
    help=f"Processes.  [default: 1 on SQLite, {_POSTGRES_WORKERS} on PostgreSQL]",
)
@pass_session
def serve(session: Session, host: str, port: int, workers: int | None) -> None:
    r"""Serve the REST API.

    Stops gracefully on SIGTERM or SIGINT.  Messages are sent by `identity worker`, which runs beside it.

    \b
    Example:
      identity serve --host 0.0.0.0 --port 8000
    """
    settings = session.settings
    workers = how_many(settings, workers)
    _ = session.services  # the store, the keyring and the policy are good, or say what is wrong with them
    session.close()
    refuse_taken_port(host, port)
    with shared_metrics(settings, processes=workers):
        run_web(settings, host, port, workers=workers, revive=True)


@click.command(cls=Plain)
@pass_session
def worker(session: Session) -> None:
    """Send messages, number the journal, and do what time does by itself.

    Any number may run side by side.  Stops on SIGTERM or SIGINT; what it was doing is not lost.
    """
    settings = session.settings
    if settings.metrics_dir:
        share_metrics(settings.metrics_dir)
    services = session.services

    from identity_service import telemetry
    from identity_service.worker import Worker

    telemetry.configure_logging(settings.log_level)
    working = Worker(services)
    working.stop_on_signals()
    working.run()


@click.command(cls=Plain)
def openapi() -> None:
    """Print the OpenAPI description of the REST API, as YAML."""
    from identity_service.api.openapi import document_yaml

    click.echo(document_yaml(), nl=False)


@click.group(cls=TopicAlone, invoke_without_command=True)
@click.pass_context
@pass_session
def demo(session: Session, ctx: click.Context) -> None:
    """Make a small network to look at: a campaign, a seed member with quota, and whom they let in.

    Only in development, with the inbox as the message provider.  Doing it again changes nothing.
    `identity demo generate` makes a large one instead.
    """
    if ctx.invoked_subcommand is not None:
        return
    from identity_service.demo import seed_demo

    made = seed_demo(session.services, session.actor)
    if session.as_json:
        print_json(made.as_dict())
        return
    if not made.fresh:
        message("The demo was here already; nothing was changed.")
    print_fields(made.as_dict())


@demo.command()
@click.option("--members", "count", type=click.IntRange(1, 10_000_000), default=10_000, show_default=True)
@click.option("--seed", type=click.IntRange(0), default=1, show_default=True, help="The same gives the same.")
@click.option("--until", type=WHEN, help="When the network's story ends.  [default: the last midnight, UTC]")
@pass_session
def generate(session: Session, count: int, seed: int, until: Instant | None) -> None:
    """Fill an empty store with a large network to look at: whole, or not at all.

    Heavy-tailed inviting, countries, campaigns, churn, a broker and a bot farm, over 400 days.  Its phones
    have no numbers and its codes cannot be redeemed.  Never in production.
    """
    from identity_service.services.demo_rows import generate as fill

    if session.settings.production:
        raise Refused("demo_unwanted", "A demo is not for IDENTITY_ENV=production.")
    now = session.services.clock.now()
    end = now // DAY * DAY if until is None else until
    if end > now:
        raise click.UsageError("--until is not in the future.")
    began = monotonic()
    with stages() as shown:
        made = session.read(lambda tx: session.services.policies.of(tx).members.first_level)
        done = fill(
            session.services.store, session.actor, count=count, seed=seed, until=end, level=made, told=shown
        )
    rate = round(done.members / (monotonic() - began))
    told = {"members": done.members, "invites": done.invites, "rows": done.rows, "members_a_second": rate}
    if session.as_json:
        print_json(told)
    else:
        print_fields(told)


# -- what the development server uses, too -----------------------------------------------------------------


def how_many(settings: Settings, workers: int | None) -> int:
    """Return how many processes serve.

    SQLite is served by one: its writers take turns at one lock, and more processes only queue there.
    """
    if not settings.is_sqlite:
        return workers or _POSTGRES_WORKERS
    if workers not in (None, 1):
        raise click.UsageError("SQLite is served by one process; --workers is for PostgreSQL.")
    return 1


def refuse_taken_port(host: str, port: int) -> None:
    """Look whether the port can be had.

    granian shares a port with whoever else would share it, so that two services would each get half of the
    requests: a socket that shares with nobody tells.
    """
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise click.UsageError(
                f"Port {port} of {host} is taken; name another with --port, or stop what uses it."
            ) from None
        raise click.UsageError(f"Cannot listen on {host}, port {port}: {error.strerror or error}.") from None


@contextmanager
def shared_metrics(settings: Settings, *, processes: int) -> Iterator[None]:
    """Add up the metrics of several processes: in the folder of the settings, or in one for this run."""
    if settings.metrics_dir:
        share_metrics(settings.metrics_dir)
        yield
    elif processes > 1:
        folder = tempfile.mkdtemp(prefix="identity-metrics-")
        share_metrics(folder)
        try:
            yield
        finally:
            shutil.rmtree(folder, ignore_errors=True)
    else:
        yield


def run_web(settings: Settings, host: str, port: int, *, workers: int, revive: bool) -> None:
    """Serve until told to stop.

    Parameters:
        revive: start a serving process again that died.
    """
    # Imported before granian forks, so that its processes share the modules and start at once.
    if sys.platform == "linux":
        multiprocessing.set_start_method("fork", force=True)

    from granian import Granian
    from granian.constants import Interfaces
    from granian.log import LogLevels

    import identity_service.app  # noqa: F401 - granian finds it by name

    Granian(
        "identity_service.app:create_app",
        factory=True,
        address=host,
        port=port,
        interface=Interfaces.WSGI,
        workers=workers,
        # One thread on SQLite: each of its calls lets go of the GIL while the write lock is held, and more
        # threads only take it away from the one that could finish.
        blocking_threads=1 if settings.is_sqlite else _POSTGRES_THREADS,
        backlog=_BACKLOG,
        websockets=False,
        workers_kill_timeout=_STOP_SECONDS,
        respawn_failed_workers=revive,
        log_dictconfig=_LOGGING,
        log_level=LogLevels.warning,
    ).serve()
