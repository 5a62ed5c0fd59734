"""What a run is: sections of fields, presets, and how names and --set become one configuration."""
