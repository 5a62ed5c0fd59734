"""What slotbench calls to learn this package's names; torch is not imported here."""

from slotbench.registry import register


def objectives() -> None:
    register(
        "objectives",
        "alignment-uniformity",
        "pairs close together, all vectors spread out",
        "Wang and Isola 2020, arXiv 2005.10242",
        "slotbench_example.objective:AlignmentUniformity",
        family="self-supervised",
    )


def cores() -> None:
    register(
        "cores",
        "cells",
        "each slot is the mean of one fixed cell of the feature map",
        "an example",
        "slotbench_example.core:Cells",
    )


def datasets() -> None:
    register(
        "datasets",
        "dots",
        "one to three coloured discs on grey",
        "an example",
        "slotbench_example.dataset:Dots",
        variants=("three",),
    )
