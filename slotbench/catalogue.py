"""What slotbench itself has: one ``register`` call a name, kind by kind.

Read by :mod:`slotbench.registry`, which holds the list; nothing else imports this.
"""

from slotbench.registry import register

register(
    "datasets", "clevr", "3-D scenes of 3 to 10 simple objects, rendered or imported",
    "Johnson et al. 2017, arXiv 1612.06890; masks: multi_object_datasets",
    "slotbench.datasets.clevr:Clevr", variants=("clevr6", "clevr10"),
)  # fmt: skip
register(
    "datasets", "multi-dsprites", "2 to 5 flat sprites that occlude each other, drawn or imported",
    "multi_object_datasets, DeepMind 2019; dSprites, Matthey et al. 2017",
    "slotbench.datasets.multi_dsprites:MultiDSprites",
    variants=("colored_on_grayscale", "colored_on_colored", "binarized"),
)  # fmt: skip
register(
    "cores", "slot-attention", "slots compete for positions by iterated attention",
    "Locatello et al. 2020, arXiv 2006.15055",
    "slotbench.cores.slot_attention:SlotAttention",
)  # fmt: skip
register(
    "encoders", "cnn", "four 5x5 convolutions at the image's resolution",
    "Locatello et al. 2020, arXiv 2006.15055, Appendix E", "slotbench.cores.encoders:Cnn",
)  # fmt: skip
register(
    "encoders", "strided-cnn", "a convolution with a stride, then 3x3 convolutions",
    "slotbench, docs/log.md", "slotbench.cores.encoders:StridedCnn",
)  # fmt: skip
register(
    "decoders", "broadcast", "spatial broadcast to 8x8, doubled by transposed convolutions",
    "Watters et al. 2019, arXiv 1901.07017; Locatello et al. 2020, Appendix E",
    "slotbench.cores.decoders:Broadcast",
)  # fmt: skip
register(
    "decoders", "bilinear", "bilinear form of slot and position, a convolution, a pixel shuffle",
    "slotbench, docs/log.md; Shi et al. 2016, arXiv 1609.05158",
    "slotbench.cores.decoders:Bilinear",
)  # fmt: skip
register(
    "objectives", "reconstruction", "mean squared error of the image mixed from the slots",
    "Locatello et al. 2020, arXiv 2006.15055",
    "slotbench.objectives.reconstruction:Reconstruction", family="reconstruction",
)  # fmt: skip
register(
    "objectives", "simclr", "two views of an image against those of all others (NT-Xent)",
    "Chen et al. 2020, arXiv 2002.05709",
    "slotbench.objectives.contrastive:SimCLR", family="self-supervised",
)  # fmt: skip
register(
    "objectives", "random", "the untrained core: the floor", "control",
    "slotbench.objectives.control:Random", family="control",
)  # fmt: skip
register(
    "alignments", "hungarian", "slots assigned by the greatest sum of cosine similarities",
    "Kuhn 1955", "slotbench.objectives.alignment:Hungarian",
)  # fmt: skip
register(
    "alignments", "shared", "the same initial noise in both views, slots paired by index",
    "slotbench, docs/objectives.md", "slotbench.objectives.alignment:Shared",
)  # fmt: skip
register(
    "alignments", "pool", "the set is averaged: one vector an image", "Chen et al. 2020",
    "slotbench.objectives.alignment:Pool",
)  # fmt: skip
register(
    "presets", "quick", "two CPU cores, minutes", "slotbench, docs/log.md",
    "slotbench.presets:quick",
)  # fmt: skip
register(
    "presets", "base", "one GPU, minutes", "slotbench, docs/log.md", "slotbench.presets:base",
)  # fmt: skip
register(
    "presets", "paper", "the architecture, optimiser and schedule of the paper: GPU, days",
    "Locatello et al. 2020, arXiv 2006.15055, Appendix E", "slotbench.presets:paper",
)  # fmt: skip
