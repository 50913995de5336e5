"""`python -m socmon.capture`."""

from socmon.capture import main

main()
