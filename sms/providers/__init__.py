"""Adapters: one module a provider, all under the contract in `sms.providers.base`.

To add one:

1. Write `sms/providers/<name>.py` with a class that has what `Provider` names. Speak to the network
   through `sms.providers.exchange`: it knows what a lost reply means and when an answer must end.
2. Put the provider's error codes into a literal table, `<name>_errors.py`, each with its
   `FailureKind` and, where those of the kind do not say it well, the words that an inviter reads.
3. Write a stateful stand-in in `tests/standins/<name>.py` from the provider's own description, not
   from the adapter, and sign its receipts there a second time, independently.
4. In `tests/sms/providers/test_<name>.py`, inherit `RemoteProviderContract` and `ReceiptContract`.
5. Build it from settings in the service's container, and give its name to `IDENTITY_SMS_ROUTE`.
"""
