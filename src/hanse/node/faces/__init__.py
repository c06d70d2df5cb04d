"""What the command line, the console and the API may ask of a node, as plain values."""
