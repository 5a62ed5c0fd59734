"""Objectives: what a core is trained by. One file a family, one class an objective."""
