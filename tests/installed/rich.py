"""Hides rich from the processes that tests start: the linters bring it, and structlog imports it wherever it is.

socmon does not depend on it, so where it is installed by itself it starts without, a sixth faster.
"""

raise ImportError("rich is no dependency of socmon", name="rich")
