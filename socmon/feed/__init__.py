"""The upward feed's wire format and its receiving server: CloudEvents 1.0 that carry OCSF 1.8 Detection Findings."""
