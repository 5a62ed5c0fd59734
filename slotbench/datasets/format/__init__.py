"""The prepared HDF5 file: layout, reading, batches, views."""
