"""One suite per port. Subclass it, and provide its fixtures."""
