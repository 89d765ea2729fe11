"""Run fleets of water sensors: poll, store, judge, show.

The root holds the version and nothing else. Import what you need from its package,
for example `evara_core.thingspeak` or `evara_core.alerts`.
"""

__version__ = "0.1.0.dev0"
