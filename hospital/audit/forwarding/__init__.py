"""The log, handed to somebody else's log server, in order and without a gap."""
