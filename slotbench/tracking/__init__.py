"""Trackers: services that get a run's metrics beside ``metrics.jsonl``; one file each."""
