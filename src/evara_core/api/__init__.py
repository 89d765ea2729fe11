"""The shape of every answer and every error."""
