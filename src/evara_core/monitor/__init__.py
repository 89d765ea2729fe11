"""The moving parts: poll, ingest, sweep, relay."""
