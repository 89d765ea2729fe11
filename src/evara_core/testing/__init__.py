"""Clocks, tokens and suites to test with: ours, and yours."""
