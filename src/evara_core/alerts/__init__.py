"""Decide what an alert becomes. Pure: no clock, no input, no output."""
