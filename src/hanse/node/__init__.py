"""One organisation's node: daemon, jobs, roles, transport, keys, store, configuration."""
