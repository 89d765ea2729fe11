"""Flask: one call to install, and decorators that say what a view needs."""
