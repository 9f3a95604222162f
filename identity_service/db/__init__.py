"""The store: tables, transactions, prepared statements, migrations."""
