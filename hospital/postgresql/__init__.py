"""Django's PostgreSQL with a pool that looks before it asks: `ENGINE` of the settings."""
