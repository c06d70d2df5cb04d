"""Results for other systems: a versioned REST API with keys, quotas, ETags, a stream of changes, and webhooks."""
