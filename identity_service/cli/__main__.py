"""`python -m identity_service.cli` is `identity`."""

from identity_service.cli import main

main()
