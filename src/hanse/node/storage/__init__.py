"""What a node remembers: its database, the tables in it, and one file per kind of record."""
