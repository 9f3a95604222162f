"""Phone numbers, message texts, SMS providers and what became of each message.

Owns everything between "this person should get this message" and "the network says it
arrived": which numbers may be written to, what the message says and how many segments it
costs, how each provider is spoken to, and how its receipts are read.

Refuses to know about members, invites, Flask or the service's database. It imports neither
`graph` nor `identity_service`; an import-linter contract holds that. Nothing here logs: a
message body and a full number must not reach a log, so whoever calls decides what to record.
"""
