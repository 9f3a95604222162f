"""The invite-graph and phone-verification identity service.

`graph` and `sms` are pure libraries beside this package; this one composes them into tables, use
cases, a REST API, a command line and a worker.  Read `docs/architecture.md` for the map.
"""

__version__ = "0.1.0"
