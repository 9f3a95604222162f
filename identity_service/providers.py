"""From the settings to the message providers of this process."""

from __future__ import annotations

from collections.abc import Mapping

from identity_service.config import Settings
from sms.providers.base import Provider
from sms.providers.inbox import Inbox
from sms.providers.null import NullProvider


def make_providers(settings: Settings) -> Mapping[str, Provider]:
    """Return the providers that the route names, by name."""
    return {name: _make(name, settings) for name in settings.providers}


def _make(name: str, settings: Settings) -> Provider:
    match name:
        case "inbox":
            return Inbox(settings.inbox_path)
        case "null":
            return NullProvider()
        case "twilio":
            # Its client and what that needs take a tenth of a start; imported only where it is used.
            from sms.providers.twilio import TwilioProvider

            return TwilioProvider(
                account_sid=settings.twilio_account_sid,
                auth_token=settings.twilio_auth_token.get_secret_value(),
                messaging_service_sid=settings.twilio_messaging_service_sid or None,
                sender=settings.twilio_from or None,
                api_base_url=settings.twilio_api_base_url or None,
            )
        case _:
            raise AssertionError(f"config.py let the unknown provider {name} through")
