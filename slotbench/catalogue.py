"""What slotbench itself has: one ``register`` call a name, kind by kind.

Read by :mod:`slotbench.registry`, which holds the list; nothing else imports this.
"""

from slotbench.registry import register

register(
    "datasets",
    "clevr",
    "3-D scenes of 3 to 10 simple objects, rendered or imported",
    "Johnson et al. 2017, arXiv 1612.06890; masks: multi_object_datasets",
    "slotbench.datasets.sets.clevr:Clevr",
    variants=("clevr6", "clevr10"),
)
register(
    "datasets",
    "multi-dsprites",
    "2 to 5 flat sprites that occlude each other, drawn or imported",
    "multi_object_datasets, DeepMind 2019; dSprites, Matthey et al. 2017",
    "slotbench.datasets.sets.multi_dsprites:MultiDSprites",
    variants=("colored_on_grayscale", "colored_on_colored", "binarized"),
)
register(
    "datasets",
    "multi-dsprites-video",
    "clips of sprites that move, turn, bounce and occlude",
    "slotbench, docs/datasets.md; sprites as in multi-dsprites",
    "slotbench.datasets.sets.multi_dsprites_video:MultiDSpritesVideo",
    variants=("colored_on_grayscale", "colored_on_colored", "binarized"),
)
register(
    "datasets",
    "tetrominoes",
    "three pieces of four blocks on black, drawn or imported",
    "multi_object_datasets, DeepMind 2019",
    "slotbench.datasets.sets.tetrominoes:Tetrominoes",
    variants=("default",),
)
register(
    "datasets",
    "objects-room",
    "a walled room with up to six objects; three shifted test sets",
    "multi_object_datasets, DeepMind 2019; room: Eslami et al. 2018, Science 360(6394)",
    "slotbench.datasets.sets.objects_room:ObjectsRoom",
    variants=("default",),
)
register(
    "datasets",
    "clevrtex",
    "3 to 10 textured objects on a textured ground, rendered or imported",
    "Karazija et al. 2021, arXiv 2111.10265",
    "slotbench.datasets.sets.clevrtex:ClevrTex",
    variants=("full", "pbg", "vbg", "grassbg", "camo", "outd"),
)
register(
    "datasets",
    "folder",
    "images of your own, with masks and properties where you have them",
    "slotbench, docs/datasets.md",
    "slotbench.datasets.sets.folder:Folder",
    variants=("default",),
)
register(
    "datasets",
    "coco",
    "photographs with 80 classes of objects, imported: instances or classes",
    "Lin et al. 2014, arXiv 1405.0312",
    "slotbench.datasets.sets.coco:Coco",
    variants=("instances", "classes"),
)
register(
    "datasets",
    "shapestacks",
    "rendered towers of 2 to 6 shapes, some unstable, imported",
    "Groth et al. 2018, arXiv 1804.08018",
    "slotbench.datasets.sets.shapestacks:ShapeStacks",
    variants=("default", "ccs_all", "blocks_all"),
)
register(
    "datasets",
    "movi",
    "clips of falling objects, simple or scanned, imported",
    "Greff et al. 2022, arXiv 2203.03570",
    "slotbench.datasets.sets.movi:Movi",
    variants=("a", "c", "e"),
)
register(
    "cores",
    "slot-attention",
    "slots compete for positions by iterated attention",
    "Locatello et al. 2020, arXiv 2006.15055",
    "slotbench.cores.slot_attention:SlotAttention",
)
register(
    "cores",
    "implicit-slot-attention",
    "slot attention with the gradient of the last round alone",
    "Chang et al. 2022, arXiv 2207.00787",
    "slotbench.cores.implicit_slot_attention:ImplicitSlotAttention",
)
register(
    "cores",
    "bo-qsa",
    "slot attention from a learned query a slot, straight-through; no noise",
    "Jia et al. 2022, arXiv 2210.08990",
    "slotbench.cores.bo_qsa:BoQsa",
)
register(
    "cores",
    "invariant-slot-attention",
    "each slot sees positions relative to its place and size",
    "Biza et al. 2023, arXiv 2302.04973",
    "slotbench.cores.invariant_slot_attention:InvariantSlotAttention",
)
register(
    "cores",
    "slot-mixture",
    "slots are the Gaussians of a mixture, fitted by EM",
    "Kirilenko et al. 2023, arXiv 2311.04640",
    "slotbench.cores.slot_mixture:SlotMixture",
)
register(
    "cores",
    "sinkhorn-slots",
    "positions transported to slots: Sinkhorn with little entropy",
    "Zhang et al. 2023, arXiv 2301.13197",
    "slotbench.cores.sinkhorn_slots:SinkhornSlots",
)
register(
    "cores",
    "slot-mlp",
    "an MLP on the flattened features; no attention, no competition",
    "Locatello et al. 2020, arXiv 2006.15055, Section 4",
    "slotbench.cores.slot_mlp:SlotMlp",
)
register(
    "cores",
    "kmeans",
    "hard k-means on the encoder's features; nothing learned but a linear map",
    "Lloyd 1982",
    "slotbench.cores.kmeans:KMeans",
)
register(
    "cores",
    "global",
    "one vector an image: the mean of a position-wise MLP",
    "control",
    "slotbench.cores.global_vector:GlobalVector",
)
register(
    "encoders",
    "cnn",
    "four 5x5 convolutions at the image's resolution",
    "Locatello et al. 2020, arXiv 2006.15055, Appendix E",
    "slotbench.cores.encoders.cnn:Cnn",
)
register(
    "encoders",
    "strided-cnn",
    "a convolution with a stride, then 3x3 convolutions",
    "slotbench, docs/log.md",
    "slotbench.cores.encoders.cnn:StridedCnn",
)
register(
    "encoders",
    "resnet18",
    "ResNet-18 without pooling, group normalisation",
    "He et al. 2015, arXiv 1512.03385; Kipf et al. 2021, arXiv 2111.12594",
    "slotbench.cores.encoders.resnet:ResNet18",
)
register(
    "encoders",
    "resnet34",
    "ResNet-34 without pooling, group normalisation",
    "He et al. 2015, arXiv 1512.03385; Kipf et al. 2021, arXiv 2111.12594",
    "slotbench.cores.encoders.resnet:ResNet34",
)
register(
    "encoders",
    "vit",
    "a vision transformer of timm's, from scratch or pretrained and frozen",
    "Dosovitskiy et al. 2020, arXiv 2010.11929",
    "slotbench.cores.encoders.vit:ViT",
)
register(
    "decoders",
    "broadcast",
    "spatial broadcast to 8x8, doubled by transposed convolutions",
    "Watters et al. 2019, arXiv 1901.07017; Locatello et al. 2020, Appendix E",
    "slotbench.cores.decoders.spatial:Broadcast",
)
register(
    "decoders",
    "bilinear",
    "bilinear form of slot and position, a convolution, a pixel shuffle",
    "slotbench, docs/log.md; Shi et al. 2016, arXiv 1609.05158",
    "slotbench.cores.decoders.spatial:Bilinear",
)
register(
    "decoders",
    "patch-mlp",
    "an MLP on slot and position draws patches",
    "Seitzer et al. 2022, arXiv 2209.14860",
    "slotbench.cores.decoders.patch:PatchMLP",
)
register(
    "decoders",
    "transformer",
    "autoregressive over patches; masks are its attention to slots",
    "Singh et al. 2021, arXiv 2110.11405; Seitzer et al. 2022, arXiv 2209.14860",
    "slotbench.cores.decoders.patch:Transformer",
)
register(
    "objectives",
    "reconstruction",
    "mean squared error of the image mixed from the slots",
    "Locatello et al. 2020, arXiv 2006.15055",
    "slotbench.objectives.reconstruction:Reconstruction",
    family="reconstruction",
)
register(
    "objectives",
    "feature-reconstruction",
    "a frozen network's features, from the slots",
    "Seitzer et al. 2022, arXiv 2209.14860",
    "slotbench.objectives.feature_reconstruction:FeatureReconstruction",
    family="reconstruction",
)
register(
    "objectives",
    "covariance",
    "reconstruction, and a penalty on the slots' covariance",
    "Stange et al. 2023, arXiv 2306.02577",
    "slotbench.objectives.regularized:Covariance",
    family="reconstruction",
)
register(
    "objectives",
    "cosine",
    "reconstruction, and a penalty on slots that point the same way",
    "code of Stange et al. 2023, arXiv 2306.02577",
    "slotbench.objectives.regularized:Cosine",
    family="reconstruction",
)
register(
    "objectives",
    "simclr",
    "two views of an image against those of all others (NT-Xent)",
    "Chen et al. 2020, arXiv 2002.05709",
    "slotbench.objectives.contrastive:SimCLR",
    family="self-supervised",
)
register(
    "objectives",
    "moco",
    "InfoNCE against a queue of a momentum encoder's keys",
    "He et al. 2019, arXiv 1911.05722; v2: 2003.04297",
    "slotbench.objectives.contrastive:MoCo",
    family="self-supervised",
)
register(
    "objectives",
    "simsiam",
    "one view predicts the other, whose gradient is stopped",
    "Chen and He 2020, arXiv 2011.10566",
    "slotbench.objectives.distillation:SimSiam",
    family="self-supervised",
)
register(
    "objectives",
    "byol",
    "one view predicts what a momentum copy makes of the other",
    "Grill et al. 2020, arXiv 2006.07733",
    "slotbench.objectives.distillation:BYOL",
    family="self-supervised",
)
register(
    "objectives",
    "dino",
    "cross-entropy to a centred and sharpened momentum teacher",
    "Caron et al. 2021, arXiv 2104.14294",
    "slotbench.objectives.distillation:DINO",
    family="self-supervised",
)
register(
    "objectives",
    "swav",
    "each view predicts the other's balanced cluster",
    "Caron et al. 2020, arXiv 2006.09882",
    "slotbench.objectives.clustering:SwAV",
    family="self-supervised",
)
register(
    "objectives",
    "slotcon",
    "shared prototypes group positions, slots are contrasted",
    "Wen et al. 2022, arXiv 2205.15288",
    "slotbench.objectives.slotcon:SlotCon",
    family="self-supervised",
)
register(
    "objectives",
    "vicreg",
    "variance, invariance and covariance of the views",
    "Bardes et al. 2021, arXiv 2105.04906",
    "slotbench.objectives.redundancy:VICReg",
    family="self-supervised",
)
register(
    "objectives",
    "barlow-twins",
    "the views' cross-correlation becomes the identity",
    "Zbontar et al. 2021, arXiv 2103.03230",
    "slotbench.objectives.redundancy:BarlowTwins",
    family="self-supervised",
)
register(
    "objectives",
    "contrasting-sets",
    "video: the next frame's predicted set against other sets",
    "Loewe et al. 2020, arXiv 2011.10287",
    "slotbench.objectives.temporal:ContrastingSets",
    family="self-supervised",
)
register(
    "objectives",
    "slot-contrast-next",
    "video: a slot against itself in the next frame",
    "Manasyan et al. 2025, arXiv 2412.14295",
    "slotbench.objectives.temporal:SlotContrastNext",
    family="self-supervised",
)
register(
    "objectives",
    "cswm",
    "video: energy of a transition between frames, with a hinge",
    "Kipf et al. 2019, arXiv 1911.12247",
    "slotbench.objectives.temporal:CSWM",
    family="self-supervised",
)
register(
    "objectives",
    "scn",
    "video: a slot's index across the batch and within the image",
    "Racah and Chandar 2020, arXiv 2007.09294",
    "slotbench.objectives.temporal:SCN",
    family="self-supervised",
)
register(
    "objectives",
    "random",
    "the untrained core: the floor",
    "control",
    "slotbench.objectives.control:Random",
    family="control",
)
register(
    "objectives",
    "supervised",
    "set prediction of properties and masks: the ceiling",
    "Locatello et al. 2020, arXiv 2006.15055",
    "slotbench.objectives.supervised:Supervised",
    family="control",
)
register(
    "alignments",
    "hungarian",
    "slots assigned by the greatest sum of cosine similarities",
    "Kuhn 1955",
    "slotbench.objectives.alignment:Hungarian",
)
register(
    "alignments",
    "shared",
    "the same initial noise in both views, slots paired by index",
    "slotbench, docs/objectives.md",
    "slotbench.objectives.alignment:Shared",
)
register(
    "alignments",
    "mask",
    "slots assigned by the overlap of their masks in the original image",
    "slotbench, docs/objectives.md; Wen et al. 2022, arXiv 2205.15288",
    "slotbench.objectives.alignment:Mask",
)
register(
    "alignments",
    "sinkhorn",
    "soft assignment: entropic transport on cosine similarity",
    "Cuturi 2013, arXiv 1306.0895",
    "slotbench.objectives.alignment:Sinkhorn",
)
register(
    "alignments",
    "pool",
    "the set is averaged: one vector an image",
    "Chen et al. 2020",
    "slotbench.objectives.alignment:Pool",
)
register(
    "presets",
    "quick",
    "two CPU cores, minutes",
    "slotbench, docs/log.md",
    "slotbench.config.presets:quick",
)
register(
    "presets", "base", "one GPU, minutes", "slotbench, docs/log.md", "slotbench.config.presets:base"
)
register(
    "presets",
    "paper",
    "the architecture, optimiser and schedule of the paper: GPU, days",
    "Locatello et al. 2020, arXiv 2006.15055, Appendix E",
    "slotbench.config.presets:paper",
)
register(
    "metrics",
    "segmentation",
    "masks against true objects: ARI, FG-ARI, mIoU, mBO, SC",
    "Hubert and Arabie 1985; Pont-Tuset et al. 2017; Arbelaez et al. 2011",
    "slotbench.evaluation.metric_segmentation:Segmentation",
)
register(
    "metrics",
    "draws",
    "the same scores over three draws of the initial noise",
    "slotbench, docs/evaluation.md",
    "slotbench.evaluation.metric_draws:Draws",
)
register(
    "metrics",
    "health",
    "empty slots, similarity, rank, entropy, consistency",
    "Roy and Vetterli 2007; slotbench, docs/evaluation.md",
    "slotbench.evaluation.metric_health:Health",
)
register(
    "metrics",
    "properties",
    "a linear probe of each object's properties, shared by all slots",
    "Dittadi et al. 2022, arXiv 2107.00637",
    "slotbench.evaluation.metric_properties:LinearProperties",
)
register(
    "metrics",
    "properties-mlp",
    "the same with one hidden layer of 256",
    "Dittadi et al. 2022, arXiv 2107.00637",
    "slotbench.evaluation.metric_properties:MlpProperties",
)
register(
    "metrics",
    "linear-probe",
    "what is in the scene, from one vector an image; k-NN",
    "Wu et al. 2018, arXiv 1805.01978",
    "slotbench.evaluation.metric_linear_probe:LinearProbe",
)
register(
    "metrics",
    "set-prediction",
    "average precision of predicted sets of objects",
    "Locatello et al. 2020, arXiv 2006.15055",
    "slotbench.evaluation.metric_set_prediction:SetPrediction",
)
register(
    "metrics",
    "dci",
    "disentanglement, completeness and informativeness of slots",
    "Eastwood and Williams 2018",
    "slotbench.evaluation.metric_dci:Dci",
)
register(
    "metrics",
    "decoder-probe",
    "masks of one decoder for all, trained on frozen slots: minutes",
    "slotbench, docs/evaluation.md",
    "slotbench.evaluation.metric_decoder_probe:DecoderProbe",
)
register(
    "metrics",
    "shifts",
    "masks and probes on shifted test sets: all, changed, unchanged objects",
    "Dittadi et al. 2022, arXiv 2107.00637",
    "slotbench.evaluation.metric_shifts:Shifts",
)
register(
    "suites",
    "demo",
    "Does a slot-based model need reconstruction, or can contrast train it?",
    "slotbench, docs/suites.md",
    "slotbench.suites.shipped:demo",
)
register(
    "suites",
    "ssl-vs-reconstruction",
    "Does a slot-based model need reconstruction, or can self-supervision train it?",
    "slotbench, docs/suites.md",
    "slotbench.suites.shipped:ssl_vs_reconstruction",
)
register(
    "suites",
    "bottleneck",
    "Do objects need a narrow slot: width, the encoder's capacity, or decorrelated slots?",
    "slotbench, docs/suites.md",
    "slotbench.suites.shipped:bottleneck",
)
register(
    "suites",
    "alignment",
    "Does it matter how the slots of two views are paired?",
    "slotbench, docs/suites.md",
    "slotbench.suites.shipped:alignment",
)
register(
    "suites",
    "shifts",
    "Which objective's slots lose least where test images differ?",
    "slotbench, docs/suites.md",
    "slotbench.suites.shipped:shifts",
)
register(
    "engines",
    "local",
    "processes on this machine: a GPU each, else a share of the cores",
    "slotbench, docs/suites.md",
    "slotbench.suites.local:Local",
)
register(
    "engines",
    "ray",
    "tasks on a Ray cluster, or on one started on this machine",
    "Moritz et al. 2017, arXiv 1712.05889",
    "slotbench.suites.ray_engine:Ray",
)
register(
    "engines",
    "slurm",
    "job arrays through submitit, queued again when preempted",
    "Yoo et al. 2003; submitit",
    "slotbench.suites.slurm:Slurm",
)
register(
    "trackers",
    "tensorboard",
    "event files in the run's directory",
    "TensorFlow; tensorboard",
    "slotbench.tracking.tensorboard:TensorBoard",
)
register(
    "trackers",
    "wandb",
    "Weights & Biases, with or without a network",
    "wandb",
    "slotbench.tracking.wandb:WandB",
)
register(
    "trackers",
    "mlflow",
    "an MLflow server, or a database in the results folder",
    "Zaharia et al. 2018, IEEE Data Eng. Bull. 41(4); mlflow",
    "slotbench.tracking.mlflow:MLflow",
)
