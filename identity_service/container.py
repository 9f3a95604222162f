"""Everything the service is made of, put together in one place.

Each part names what it needs in its constructor; nothing reaches for a global.  A test builds the same
container with another clock.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Engine, create_engine

from identity_service.config import Settings
from identity_service.crypto import Assertions, Hasher, Keyring, Purpose, Seal, Signer
from identity_service.db.store import Store, prepare_engine
from identity_service.policy.rules import Policy, parse_stored, policy_text
from identity_service.ports import Clock, Entropy, Ids, SystemClock, SystemEntropy
from identity_service.providers import make_providers
from identity_service.services.claims import Claims
from identity_service.services.clients import Clients
from identity_service.services.costs import Costs
from identity_service.services.credentials import Credentials
from identity_service.services.dashboard_access import DashboardAccess
from identity_service.services.delivery import Delivery
from identity_service.services.disclosure import Disclosure
from identity_service.services.eligibility import Eligibility
from identity_service.services.endings import Endings
from identity_service.services.explorer import Explorer
from identity_service.services.fates import Fates
from identity_service.services.grants import Grants
from identity_service.services.guard import Guard
from identity_service.services.guard_decisions import GuardDecisions
from identity_service.services.guard_evidence import GuardEvidence
from identity_service.services.holds import Holds
from identity_service.services.hosted_join import HostedJoin
from identity_service.services.housekeeping import Housekeeping
from identity_service.services.idempotency import Idempotency
from identity_service.services.imports import Imports
from identity_service.services.invite_codes import InviteCodes
from identity_service.services.invites import Invites
from identity_service.services.journal import Journal
from identity_service.services.kept_columns import KeptColumns
from identity_service.services.members import Members
from identity_service.services.outcomes import Outcomes
from identity_service.services.phones import Phones
from identity_service.services.policy_book import PolicyBook
from identity_service.services.population import Population
from identity_service.services.prices import Prices
from identity_service.services.pricing import Pricing
from identity_service.services.quota import QuotaLedger
from identity_service.services.receipts import Receipts
from identity_service.services.recovery import Recoveries
from identity_service.services.registration import Registrations
from identity_service.services.reports import Reports
from identity_service.services.retention import Retention
from identity_service.services.reviews import Reviews
from identity_service.services.rotation import Rotation
from identity_service.services.routing import Routing
from identity_service.services.sanctions import Sanctions
from identity_service.services.signals import Signals
from identity_service.services.spending import Spending
from identity_service.services.timeline import Timeline
from identity_service.services.trust import Trust
from identity_service.services.trust_following import TrustFollowing
from identity_service.services.verification import Verifications
from identity_service.services.wording import Wording
from identity_service.services.work import ProofOfWork
from identity_service.services.worker_state import WorkerState
from sms.providers.base import Provider


@dataclass(frozen=True, kw_only=True)
class Container:
    settings: Settings
    policies: PolicyBook
    clock: Clock
    store: Store
    keyring: Keyring
    seal: Seal
    hasher: Hasher
    phones: Phones
    clients: Clients
    idempotency: Idempotency
    journal: Journal
    holds: Holds
    invites: Invites
    invite_codes: InviteCodes
    quota: QuotaLedger
    eligibility: Eligibility
    reviews: Reviews
    grants: Grants
    delivery: Delivery
    claims: Claims
    outcomes: Outcomes
    receipts: Receipts
    endings: Endings
    timeline: Timeline
    fates: Fates
    routing: Routing
    wording: Wording
    guard: Guard
    hosted_join: HostedJoin
    prices: Prices
    pricing: Pricing
    spending: Spending
    costs: Costs
    verifications: Verifications
    registrations: Registrations
    recoveries: Recoveries
    members: Members
    sanctions: Sanctions
    imports: Imports
    population: Population
    signals: Signals
    trust: Trust
    assertions: Assertions
    credentials: Credentials
    housekeeping: Housekeeping
    rotation: Rotation
    reports: Reports
    work: ProofOfWork
    worker_state: WorkerState
    dashboard: DashboardAccess
    disclosure: Disclosure
    explorer: Explorer
    providers: Mapping[str, Provider]
    entropy: Entropy = field(repr=False)

    def trust_following(self, name: str, store: Store | None = None) -> TrustFollowing:
        """Return one worker's part in following the log; `name` is the worker's."""
        return TrustFollowing(
            store=store or self.store,
            policies=self.policies,
            journal=self.journal,
            worker_state=self.worker_state,
            name=name,
            on_scores_moved=self.reviews.on_scores_moved,
        )


def open_engine(settings: Settings) -> Engine:
    """Return an engine for a process that serves no HTTP: the command line, the worker.

    A database that cannot be reached is told within ten seconds, where an operator is waiting.
    """
    if settings.is_sqlite:
        options: dict[str, Any] = {"connect_args": {"timeout": 15, "check_same_thread": False}}
    else:
        options = {"pool_size": 5, "max_overflow": 10, "pool_timeout": 10, "pool_recycle": 1800}
        options["connect_args"] = {"connect_timeout": 10}
    engine = create_engine(settings.store_url, **options)
    prepare_engine(engine, synchronous=settings.sqlite_synchronous)
    return engine


def build(
    settings: Settings,
    engine: Engine,
    *,
    clock: Clock | None = None,
    entropy: Entropy | None = None,
    policy: Policy | None = None,
) -> Container:
    """Put the service together.

    Raises:
        Misconfigured: the keyring or the policy is unusable.
    """
    clock = clock or SystemClock()
    entropy = entropy or SystemEntropy()
    text = policy_text(settings.policy_file)
    base = policy or parse_stored(text, settings.policy_file or "default.toml")
    store = Store(engine, clock)
    keyring = Keyring.load(settings.keyring_source, create_at=None if settings.production else clock.now())
    ids = Ids(clock, entropy)
    hasher = Hasher(keyring, Purpose.CODE_HASH)
    seal, signer = Seal(keyring), Signer(keyring)
    assertions = Assertions(keyring, settings.public_url)
    work = ProofOfWork(keyring=keyring, clock=clock)
    journal, holds = Journal(ids), Holds(ids)
    policies = PolicyBook(base=base, base_text=text, journal=journal)
    phones = Phones(
        hasher=Hasher(keyring, Purpose.PHONE_LOOKUP), seal=seal, ids=ids, number_policy=settings.number_policy
    )
    credentials = Credentials(policies=policies, ids=ids, entropy=entropy, hasher=hasher)
    quota = QuotaLedger(ids=ids, journal=journal)
    eligibility = Eligibility(policies=policies, quota=quota)
    timeline, wording = Timeline(), Wording(settings)
    providers, prices, costs = make_providers(settings), Prices(journal), Costs()
    pricing = Pricing(prices=prices, wording=wording, routes=settings.routes)
    spending = Spending(policies=policies, hasher=Hasher(keyring, Purpose.PHONE_LOOKUP), phones=phones)
    delivery = Delivery(
        policies=policies,
        ids=ids,
        seal=seal,
        phones=phones,
        timeline=timeline,
        routes=settings.routes,
        pricing=pricing,
        spending=spending,
    )
    endings = Endings(timeline=timeline, spending=spending, journal=journal)
    invite_codes = InviteCodes(policies=policies, hasher=hasher, journal=journal)
    guard = Guard(
        policies=policies,
        hasher=Hasher(keyring, Purpose.PHONE_LOOKUP),
        evidence=GuardEvidence(policies=policies, ids=ids),
        decisions=GuardDecisions(ids=ids, seal=seal, journal=journal),
    )
    invites = Invites(
        policies=policies,
        ids=ids,
        entropy=entropy,
        hasher=hasher,
        seal=seal,
        phones=phones,
        quota=quota,
        eligibility=eligibility,
        delivery=delivery,
        holds=holds,
        journal=journal,
        guard=guard,
        public_url=settings.public_url,
    )
    verifications = Verifications(
        policies=policies,
        ids=ids,
        entropy=entropy,
        hasher=hasher,
        seal=seal,
        signer=signer,
        phones=phones,
        codes=invite_codes,
        holds=holds,
        delivery=delivery,
        timeline=timeline,
        work=work,
        guard=guard,
    )
    members = Members(policies=policies, ids=ids, phones=phones, journal=journal)
    registrations = Registrations(
        policies=policies,
        ids=ids,
        phones=phones,
        codes=invite_codes,
        holds=holds,
        verifications=verifications,
        members=members,
        credentials=credentials,
        assertions=assertions,
        timeline=timeline,
        guard=guard,
    )
    recoveries = Recoveries(
        policies=policies,
        ids=ids,
        verifications=verifications,
        members=members,
        credentials=credentials,
        assertions=assertions,
        delivery=delivery,
        journal=journal,
    )
    sanctions = Sanctions(ids=ids, journal=journal)
    idempotency = Idempotency(hasher=hasher, seal=seal)
    fates = Fates(timeline=timeline, invites=invites, verifications=verifications)
    dashboard = DashboardAccess(ids=ids, entropy=entropy, hasher=hasher, journal=journal)
    return Container(
        settings=settings,
        policies=policies,
        clock=clock,
        store=store,
        keyring=keyring,
        seal=seal,
        hasher=hasher,
        phones=phones,
        clients=Clients(ids=ids, entropy=entropy, hasher=hasher, journal=journal),
        idempotency=idempotency,
        journal=journal,
        holds=holds,
        invites=invites,
        invite_codes=invite_codes,
        quota=quota,
        eligibility=eligibility,
        reviews=Reviews(policies=policies, eligibility=eligibility, quota=quota, journal=journal),
        grants=Grants(quota=quota),
        delivery=delivery,
        claims=Claims(seal=seal, phones=phones, spending=spending, endings=endings),
        outcomes=Outcomes(
            policies=policies,
            entropy=entropy,
            endings=endings,
            timeline=timeline,
            pricing=pricing,
            spending=spending,
        ),
        receipts=Receipts(policies=policies, timeline=timeline),
        endings=endings,
        timeline=timeline,
        routing=Routing(
            routes=settings.routes, providers=providers, policies=policies, pricing=pricing, costs=costs
        ),
        wording=wording,
        prices=prices,
        pricing=pricing,
        spending=spending,
        costs=costs,
        guard=guard,
        fates=fates,
        hosted_join=HostedJoin(
            policies=policies,
            idempotency=idempotency,
            verifications=verifications,
            registrations=registrations,
            fates=fates,
            journal=journal,
        ),
        verifications=verifications,
        registrations=registrations,
        recoveries=recoveries,
        members=members,
        sanctions=sanctions,
        population=Population(),
        imports=Imports(
            policies=policies,
            ids=ids,
            phones=phones,
            invites=invites,
            members=members,
            sanctions=sanctions,
            journal=journal,
        ),
        signals=Signals(policies=policies, ids=ids, journal=journal),
        trust=Trust(policies=policies),
        assertions=assertions,
        credentials=credentials,
        housekeeping=Housekeeping(
            invites=invites,
            holds=holds,
            quota=quota,
            sanctions=sanctions,
            recoveries=recoveries,
            verifications=verifications,
            delivery=delivery,
            idempotency=idempotency,
            policies=policies,
            spending=spending,
            retention=Retention(policies),
            dashboard=dashboard,
            guard=guard,
        ),
        rotation=Rotation(keyring=keyring, phones=phones, seal=seal, journal=journal),
        reports=Reports(store, KeptColumns(settings.columns_path)),
        work=work,
        worker_state=WorkerState(),
        dashboard=dashboard,
        disclosure=Disclosure(phones=phones, journal=journal),
        explorer=Explorer(),
        providers=providers,
        entropy=entropy,
    )
