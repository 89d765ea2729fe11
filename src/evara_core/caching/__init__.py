"""Keep what was expensive to get, and never for longer than it is true."""
