"""Suites: whole studies, one TOML file each, that survive anything (docs/suites.md)."""
