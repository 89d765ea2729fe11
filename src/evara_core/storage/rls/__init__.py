"""Row-level security: the second wall, in PostgreSQL itself, behind the guard."""
