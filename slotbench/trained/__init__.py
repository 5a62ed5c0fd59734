"""Using a trained core: load it, predict masks of pictures, export it."""
