"""slotbench: train any slot core with any objective, and judge them all alike."""

__version__ = "0.1.0"
