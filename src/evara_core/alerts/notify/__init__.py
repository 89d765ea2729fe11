"""From transitions to notifications: who is told what, and when. Nothing here sends anything."""
