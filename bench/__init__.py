"""Ratios between whole commands, measured side by side in one run.  `make bench` prints them; no test is timed."""
