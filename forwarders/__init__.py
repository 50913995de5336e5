"""Forwarders: how alerts go out, one file a kind."""
