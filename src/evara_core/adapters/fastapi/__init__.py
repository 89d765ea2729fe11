"""FastAPI: one call to install, and dependencies that say what a route needs."""
