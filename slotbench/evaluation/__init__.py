"""The metrics that judge every run, as ``docs/evaluation.md`` defines them."""
