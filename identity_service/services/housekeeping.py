"""What time does by itself: things expire, lapse, end, and are forgotten.  Small steps, run by the worker."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from identity_service.db.store import Tx
from identity_service.services import budgets
from identity_service.services.dashboard_access import DashboardAccess
from identity_service.services.delivery import Delivery
from identity_service.services.guard import Guard
from identity_service.services.holds import Holds
from identity_service.services.idempotency import Idempotency
from identity_service.services.invites import Invites
from identity_service.services.policy_book import PolicyBook
from identity_service.services.quota import QuotaLedger
from identity_service.services.recovery import Recoveries
from identity_service.services.retention import Retention
from identity_service.services.sanctions import Sanctions
from identity_service.services.spending import Spending
from identity_service.services.verification import Verifications


class Housekeeping:
    def __init__(
        self,
        *,
        invites: Invites,
        holds: Holds,
        quota: QuotaLedger,
        sanctions: Sanctions,
        recoveries: Recoveries,
        verifications: Verifications,
        delivery: Delivery,
        idempotency: Idempotency,
        policies: PolicyBook,
        spending: Spending,
        retention: Retention,
        dashboard: DashboardAccess,
        guard: Guard,
    ) -> None:
        self.tasks: Mapping[str, Callable[[Tx], int]] = {
            "policy_takes_force": policies.sweep,
            "expire_invites": invites.sweep,
            "release_holds": holds.sweep,
            "expire_quota": quota.sweep_due,
            "end_sanctions": sanctions.sweep,
            "end_recoveries": recoveries.sweep,
            "wipe_codes": verifications.wipe_codes,
            "wipe_messages": delivery.wipe_codes,
            "forget_answers": idempotency.purge,
            "forget_budgets": budgets.purge,
            "forget_spending": spending.purge,
            "forget_messages": retention.forget_messages,
            "forget_verifications": retention.forget_verifications,
            "forget_phones": retention.forget_phones,
            "forget_dashboard_doors": dashboard.forget_old,
            "judge_sends": guard.learn,
            "forget_sends": guard.forget,
        }
        """Each task does a bounded piece of work in one transaction and returns how much it did."""
