"""Loads a trained core, predicts masks of pictures, exports it."""
