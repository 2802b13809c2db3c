"""A Django project on PostgreSQL that tells which of the database's connections answered."""
