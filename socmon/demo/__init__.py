"""The demonstration: real processes on this machine, a live log, faults in the middle, and a recount at the end."""
