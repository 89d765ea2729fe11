"""The demonstration: a ThingSpeak of its own, water, people, and ready tokens."""
