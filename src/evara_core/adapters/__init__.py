"""Thin wiring into web frameworks and workers."""
