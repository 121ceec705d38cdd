"""What becomes of old events: archived, then removed; and of what should not have been written."""
