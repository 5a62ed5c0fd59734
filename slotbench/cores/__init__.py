"""Cores: an encoder and the module that turns its features into slots."""
