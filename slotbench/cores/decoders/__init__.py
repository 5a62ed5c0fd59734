"""Decoders: slots to images or patches, with masks."""
