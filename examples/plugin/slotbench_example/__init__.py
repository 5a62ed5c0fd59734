"""An objective, a core, a dataset and a metric of one's own; each file registers its class."""
