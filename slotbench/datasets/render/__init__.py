"""What drawn scenes share: geometry, materials, Mitsuba, sprites."""
