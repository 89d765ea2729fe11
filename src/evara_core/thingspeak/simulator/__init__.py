"""A ThingSpeak of your own, for tests and demonstrations.

`app` answers over HTTP as the real service does, quirks included; `fleet` fills it with
seeded water; `faults` makes it fail on demand.
"""
