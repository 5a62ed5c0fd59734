"""What every run is judged by; the definitions are those of ``reference/metrics.md``."""
