"""Collectors: how events come in, one file a kind."""
