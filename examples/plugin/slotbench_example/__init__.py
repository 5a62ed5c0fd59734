"""An objective, a core and a dataset of one's own; each file registers its class."""
