"""Mutated documents for every reader: each input is read, or refused by one named problem."""
