"""The training loop, alone or over several processes."""
