"""Starlette: request ids, the one shape of answers and errors, and event streams."""
