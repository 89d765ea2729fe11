"""ThingSpeak channels: reading, writing, and a simulator to test with."""
