"""Where metrics go beside ``metrics.jsonl``, which is the truth: one short file a tracker."""
