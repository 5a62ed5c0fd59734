"""Writes a prepared file: parts, workers, contact sheet."""
