"""Datasets: one HDF5 file each, written by ``prepare`` and read by the loader."""
