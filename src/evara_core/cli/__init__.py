"""The `evara` command: each command is a few lines around a function of the library."""
