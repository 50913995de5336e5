"""Reports of an incident for a channel that is not the feed: what stands in them, and the page that is printed."""
