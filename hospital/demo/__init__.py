"""`make demo`: the whole house on one machine, with a lobby that never sleeps."""
