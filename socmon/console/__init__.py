"""What socmon shows over HTTP."""
