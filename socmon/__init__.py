"""A small SOC daemon: agency logs in, Sigma alerts out, delivered upward with acknowledgement."""

__version__ = "0.1.0"
