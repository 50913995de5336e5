"""`python -m socmon`."""

from socmon.cli import main

main()
