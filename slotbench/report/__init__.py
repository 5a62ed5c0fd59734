"""Pictures of datasets and runs."""
