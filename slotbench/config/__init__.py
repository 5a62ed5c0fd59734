"""A run's configuration: sections of fields, presets, --set."""
