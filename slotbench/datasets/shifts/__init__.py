"""Shifted test sets."""
