"""From the settings to the message providers of this process."""

from __future__ import annotations

from collections.abc import Mapping

from identity_service.config import Settings
from sms.providers.base import Provider
from sms.providers.inbox import Inbox
from sms.providers.null import NullProvider
from sms.providers.signed_webhook import SignedWebhookProvider


def make_providers(settings: Settings) -> Mapping[str, Provider]:
    """Return the providers that the routes name, by name."""
    return {name: _make(name, settings) for name in settings.providers}


def _make(name: str, settings: Settings) -> Provider:
    match name:
        case "inbox":
            return Inbox(settings.inbox_path)
        case "null":
            return NullProvider()
        case "vonage":
            from sms.providers.vonage import VonageProvider

            return VonageProvider(
                api_key=settings.vonage_api_key,
                api_secret=settings.vonage_api_secret.get_secret_value(),
                signature_secret=settings.vonage_signature_secret.get_secret_value(),
                sender=settings.vonage_from,
                api_base_url=settings.vonage_api_base_url or None,
            )
        case "webhook":
            return SignedWebhookProvider(url=settings.sms_webhook_url, secrets=settings.webhook_secrets)
        case "twilio":
            # Its client and what that needs take a tenth of a start; imported only where it is used.
            from sms.providers.twilio import TwilioProvider

            return TwilioProvider(
                account_sid=settings.twilio_account_sid,
                auth_token=settings.twilio_auth_token.get_secret_value(),
                messaging_service_sid=settings.twilio_messaging_service_sid or None,
                sender=settings.twilio_from or None,
                api_base_url=settings.twilio_api_base_url or None,
                feedback=settings.twilio_feedback,
            )
        case _:
            raise AssertionError(f"config.py let the unknown provider {name} through")
