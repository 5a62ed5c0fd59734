"""Encoders: images to a grid of features."""
