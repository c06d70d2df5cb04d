"""What a node publishes to other systems, who may read it, and who is told of changes."""
