"""Commands that are killed at random moments."""
