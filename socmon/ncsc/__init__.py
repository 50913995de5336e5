"""The simulated national centre: the feed's receiving server, its store, and faults on request."""
