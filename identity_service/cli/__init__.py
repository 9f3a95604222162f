"""The command line `identity`: parses, calls one service, prints.

Data goes to stdout and messages to stderr, so that every command can stand in a pipe.  Exit codes: 0 done,
1 refused by a rule, 2 wrong usage, 3 the store or a provider cannot be reached.
"""

from __future__ import annotations

import os


def main() -> None:
    """Run the command line; the console script of the package."""
    from identity_service.cli.root import identity

    os.umask(0o077)  # a database, a keyring, an export: what is made here is for its owner's eyes
    identity(prog_name="identity")
