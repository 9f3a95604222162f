"""A small network to look at: made through the same services as every other, by invites that arrive by SMS.

Its numbers belong to ranges that regulators keep for fiction (ACMA in Australia, 555-01xx in North America,
PTS in Sweden): should they ever meet a real provider, they ring at nobody's.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Final

from identity_service.container import Container
from identity_service.db.store import Tx
from identity_service.errors import Actor, Refused
from identity_service.services.invites import IssueInvite
from identity_service.services.paging import Paging
from identity_service.services.quota import Grant
from identity_service.services.registration import Register
from identity_service.worker import Worker
from sms.providers.inbox import Inbox

CAMPAIGN: Final = "demo-opening"
SEED: Final = "demo-ada"
_SEED_PHONE: Final = "+61491570156"
_SEED_QUOTA: Final = 1_000
_MEMBER_QUOTA: Final = 5
_BATCH: Final = "demo"
# Who is invited by whom, in the order in which they join.
_JOINERS: Final = (
    ("demo-bo", SEED, "+61491570157"),
    ("demo-cyd", SEED, "+12025550143"),
    ("demo-dov", "demo-bo", "+46701740605"),
    ("demo-eri", "demo-bo", "+61491570158"),
    ("demo-fay", "demo-dov", "+12025550179"),
)
_CODE: Final = re.compile(r"\b([0-9A-Z]{3,}(?:-[0-9A-Z]{3,})+)\b", re.ASCII)


@dataclass(frozen=True, kw_only=True)
class Demo:
    """What the demo network consists of.  `campaign_link` is known only when it was just made."""

    fresh: bool
    seed_id: str
    members: dict[str, str]
    campaign: str
    campaign_link: str | None

    def as_dict(self) -> dict[str, Any]:
        made: dict[str, Any] = {"campaign": self.campaign, "campaign_link": self.campaign_link}
        return made | self.members


def seed_demo(services: Container, actor: Actor) -> Demo:
    """Make what is missing of the demo network.

    Raises:
        Refused: `demo_unwanted`, in production or where messages go to real phones.
    """
    inbox = services.providers.get("inbox")
    if services.settings.production or not isinstance(inbox, Inbox):
        raise Refused(
            "demo_unwanted", "The demo needs IDENTITY_ENV=development and the inbox in IDENTITY_SMS_ROUTE."
        )
    return _Builder(services, actor, inbox).build()


class _Builder:
    def __init__(self, services: Container, actor: Actor, inbox: Inbox) -> None:
        self._services, self._actor, self._inbox = services, actor, inbox
        self._worker = Worker(services)

    def build(self) -> Demo:
        names = [SEED, *(name for name, _, _ in _JOINERS)]
        there = self._services.store.query(
            self._actor, lambda tx: self._services.members.with_external_ids(tx, names)
        )
        fresh = len(there) < len(names)
        link = None
        if fresh:
            there[SEED] = self._services.store.transact(self._actor, self._seed)
            link = self._services.store.transact(self._actor, self._open_campaign)
            for name, inviter, phone in _JOINERS:
                if name not in there:
                    there[name] = self._join(name, there[inviter], phone)
        return Demo(fresh=fresh, seed_id=there[SEED], members=there, campaign=CAMPAIGN, campaign_link=link)

    def _seed(self, tx: Tx) -> str:
        """Make the seed member, or find it where an earlier run was broken off."""
        found = self._services.members.with_external_ids(tx, [SEED])
        number = self._services.phones.read(_SEED_PHONE, "/phone")
        member_id = found.get(SEED) or self._services.members.create_seed(tx, number, SEED).id
        self._grant(tx, member_id, _SEED_QUOTA)
        return member_id

    def _grant(self, tx: Tx, member_id: str, amount: int) -> None:
        # The batch makes it once for each member, however often the demo is asked for.
        grant = Grant(member_id=member_id, amount=amount, reason="demo", batch_id=_BATCH)
        self._services.quota.grant(tx, grant)

    def _open_campaign(self, tx: Tx) -> str | None:
        invites = self._services.invites
        if invites.page(tx, Paging(limit=1), campaign=CAMPAIGN, state="open").data:
            return None
        return invites.issue(tx, IssueInvite(campaign=CAMPAIGN, max_uses=100, note="demo")).link

    def _join(self, name: str, inviter_id: str, phone: str) -> str:
        """Invite a phone by SMS, read the code from the inbox, and register with it."""
        services = self._services
        number = services.phones.read(phone, "/phone")
        code = self._newest_code(phone)
        if code is None:
            wanted = IssueInvite(issuer_id=inviter_id, channel="sms", number=number, note="demo")
            services.store.transact(self._actor, lambda tx: services.invites.issue(tx, wanted))
            while self._worker.deliver():
                pass
            code = self._newest_code(phone)
            if code is None:  # a worker that runs already has just taken it
                raise Refused("demo_in_progress", "An invite is still on its way; ask again in a moment.")
        wanted_member = Register(invite_code=code, number=number, external_id=name)

        def register(tx: Tx) -> str:
            member_id = services.registrations.register(tx, wanted_member).member.id
            self._grant(tx, member_id, _MEMBER_QUOTA)
            return member_id

        return services.store.transact(self._actor, register)

    def _newest_code(self, phone: str) -> str | None:
        for message in self._inbox.messages(to=phone, limit=1):
            if found := _CODE.search(message["body"]):
                return found[1]
        return None
