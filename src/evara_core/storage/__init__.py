"""The reference schema and everything that knows SQLAlchemy."""
