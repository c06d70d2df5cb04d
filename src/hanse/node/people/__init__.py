"""The people of one organisation: users of its console, and what its departments say of contracts."""
