"""Using what was trained: a frozen core, its masks of any pictures, its export."""
