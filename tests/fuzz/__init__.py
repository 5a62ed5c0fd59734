"""Mutated documents for every reader: each input is read, or refused by one named problem.

``make test`` tries 40 inputs a reader, ``make test-all`` 300. Inputs are drawn from a seed, so that
a failure can be repeated: ``mutants(data, seed)``.
"""
