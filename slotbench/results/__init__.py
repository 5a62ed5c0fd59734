"""Run directories, and everything derived from them."""

from pathlib import Path

SHIPPED = Path(__file__).with_name("published")
"""The published records that come with slotbench: one JSON file a study."""
