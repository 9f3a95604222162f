"""Alembic's entry: one online mode, on the connection that `db/migrate.py` hands over."""

from alembic import context

from identity_service.db.tables import metadata

connection = context.config.attributes["connection"]
context.configure(
    connection=connection,
    target_metadata=metadata,
    transaction_per_migration=True,
    compare_type=True,
    # SQLite cannot ALTER most things: a migration there copies the table.
    render_as_batch=connection.dialect.name == "sqlite",
)
with context.begin_transaction():
    context.run_migrations()
