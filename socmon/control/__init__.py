"""The control socket: how `socmon` commands ask the running daemon to do something. See docs/operations.md."""
