"""`identity` itself: the tree of commands."""

from __future__ import annotations

import rich_click as click

from identity_service import __version__
from identity_service.cli import (
    audit,
    clients,
    dashboard,
    database,
    doctor,
    events,
    guard,
    importing,
    invites,
    keys,
    members,
    messages,
    policy,
    quota,
    reports,
    serve,
    simulation,
    sms,
    sms_money,
    trace,
    tree,
    trust,
)
from identity_service.cli.command import Root


@click.group(cls=Root, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__, prog_name="identity")
def identity() -> None:
    """The invite graph and phone verification of a network, from the operator's side.

    Data goes to stdout, messages to stderr.  Exit codes: 0 done, 1 refused by a rule, 2 wrong usage,
    3 the store or a provider cannot be reached.
    """


for command in (
    serve.serve,
    serve.worker,
    doctor.doctor,
    serve.openapi,
    serve.demo,
    importing.import_,
    reports.reports,
):
    identity.add_command(command)
invites.invites.add_command(trace.trace)
policy.policy.add_command(simulation.simulate)
for money in (sms_money.prices, sms_money.spend, sms_money.costs):
    sms.sms.add_command(money)
sms.sms.add_command(guard.guard)
sms.sms.add_command(guard.simulate_fraud)
for topic in (
    database.db,
    keys.keys,
    audit.audit,
    clients.clients,
    invites.invites,
    quota.quota,
    members.members,
    tree.tree,
    trust.trust,
    events.events,
    messages.messages,
    policy.policy,
    sms.sms,
    dashboard.dashboard,
):
    identity.add_command(topic)
