"""Objectives: the losses that train a core. One file a family, one class an objective."""
