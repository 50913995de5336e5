"""Upper bounds of the buckets of histograms, in seconds."""

COMMIT_BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5)
TRIAGE_BUCKETS = (60, 300, 900, 1800, 3600, 14_400, 28_800, 86_400, 259_200, 604_800, 2_592_000)  # up to a month
LAG_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5)
# From within a turn of the loop to a destination that was dead for days.
DELAY_BUCKETS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 900, 3600, 21_600, 86_400, 604_800)
