"""Run directories, and everything derived from them."""
