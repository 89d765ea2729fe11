"""From what a device sent to readings that people can trust. Pure."""
