"""The reference application: API, monitor and live page in one process. Copy what you like."""
