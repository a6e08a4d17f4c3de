"""Config keys of the project, with their defaults.

Everything not listed here is a detectron2 key with detectron2's meaning.
"""

from detectron2.config import CfgNode as CN

# Keys of earlier versions, and the values that the code has in their place.
REMOVED_KEYS = {
    "INPUT.TEMPLATE_AUG.ROTATE": 15.0,
    "INPUT.TEMPLATE_AUG.SHEAR": 0.1,
    "INPUT.TEMPLATE_AUG.TILT": 0.1,
    "INPUT.SEARCH_AUG.ROTATE": 15.0,
    "INPUT.SEARCH_AUG.SHEAR": 0.1,
    "INPUT.SEARCH_AUG.TILT": 0.1,
    "TEST.TRACKER.NMS_THRESH": 0.0,
}


def add_sot_config(cfg: CN) -> None:
    """Add the project's keys to a detectron2 config, in place."""
    _C = cfg

    # ------------------------------------------------------------------ input
    # Sides of the square crops in pixels: what the network sees.
    _C.INPUT.TEMPLATE_SIZE = 127
    _C.INPUT.SEARCH_SIZE_TRAIN = 255
    _C.INPUT.SEARCH_SIZE_TEST = 255
    # Context c around a w x h box: the template covers a square of side
    # sqrt((w + 2p)(h + 2p)), p = c (w + h) / 2  (SiamFC, Eq. in Sec. 2.3: c = 0.5).
    _C.INPUT.CONTEXT_AMOUNT = 0.5
    # Augmentation of each crop. Spatial-aware sampling (SiamRPN++, Sec. 3.1): SHIFT in crop pixels,
    # SCALE as a fraction, each drawn uniformly in [-v, v] and apart for x and y. The others are
    # probabilities. WARP_PROB: of a turn, a shear and a change of perspective (see RandomWarp).
    _C.INPUT.TEMPLATE_AUG = CN()
    _C.INPUT.TEMPLATE_AUG.SHIFT = 4.0
    _C.INPUT.TEMPLATE_AUG.SCALE = 0.05
    _C.INPUT.TEMPLATE_AUG.WARP_PROB = 0.0
    _C.INPUT.TEMPLATE_AUG.COLOR_PROB = 1.0
    _C.INPUT.TEMPLATE_AUG.BLUR_PROB = 0.0
    _C.INPUT.TEMPLATE_AUG.OCCLUSION_PROB = 0.0
    _C.INPUT.TEMPLATE_AUG.LOW_RESOLUTION_PROB = 0.0
    _C.INPUT.TEMPLATE_AUG.NOISE_PROB = 0.0
    _C.INPUT.TEMPLATE_AUG.COMPRESSION_PROB = 0.0
    # The same keys for the search crop; these three have other values.
    _C.INPUT.SEARCH_AUG = _C.INPUT.TEMPLATE_AUG.clone()
    _C.INPUT.SEARCH_AUG.SHIFT = 64.0
    _C.INPUT.SEARCH_AUG.SCALE = 0.18
    _C.INPUT.SEARCH_AUG.BLUR_PROB = 0.2
    # Both crops of a pair become gray / are mirrored with these probabilities.
    _C.INPUT.GRAY_PROB = 0.25
    _C.INPUT.FLIP_PROB = 0.5

    # ------------------------------------------------------------------- data
    # Length of an epoch of each training set, in multiples of its number of tracks; () = 1 each.
    _C.DATASETS.TRAIN_REPEAT_FACTOR = ()
    # The same in pairs, in place of the multiple; () or a 0: the multiple counts.
    _C.DATASETS.TRAIN_EPOCH_SIZE = ()
    # Largest distance in frames between template and search frame of a pair, for each training
    # set; () = each set's own (the papers': 100, YouTube-BB's sparse frames 3).
    _C.DATASETS.FRAME_RANGE = ()
    # Fraction of pairs whose search crop shows another object than the template.
    _C.DATALOADER.NEGATIVE_PAIR_FRACTION = 0.2

    # ------------------------------------------------------------------ model
    _C.MODEL.SIAMESE = CN()
    # 1x1 convolution + norm on every backbone feature to this many channels: one number for all,
    # or one for each feature; [] = none.
    _C.MODEL.SIAMESE.ADJUST_CHANNELS = []
    # Centre crop of the template features, after the neck; 0 = keep all.
    _C.MODEL.SIAMESE.TEMPLATE_FEATURE_SIZE = 0
    # Normalisation in backbone, neck and head (detectron2.layers.get_norm names). With several
    # GPUs "BN" takes the statistics of each one's share of the batch, "SyncBN" those of the whole.
    _C.MODEL.SIAMESE.NORM = "BN"
    # Channels of the correlation in the RPN head; 0 = as many as come in.
    _C.MODEL.SIAMESE.HEAD_CHANNELS = 0
    # MultiLevelRPNHead: the head on each level (a name of RPN_HEAD_REGISTRY), and whether the
    # weights of the levels are learned; else the plain mean.
    _C.MODEL.SIAMESE.LEVEL_HEAD = "DepthwiseRPNHead"
    _C.MODEL.SIAMESE.LEVEL_WEIGHTED = True
    # AlexNet: channels of the five convolutions, and groups of the second, fourth and fifth.
    _C.MODEL.ALEXNET = CN({"CHANNELS": [96, 256, 384, 384, 256], "GROUPS": 1})
    # SiamFC: fixed factor on the correlation, which is a sum over thousands of products; and how
    # far in pixels of the search crop a position may be from the target's centre to be positive
    # (Sec. 2.2).
    _C.MODEL.SIAMFC = CN({"OUT_SCALE": 0.001, "POS_RADIUS": 16.0})
    # MobileNetV2: factor on all channels, and the layers whose outputs are used. POINTWISE_ONLY: of
    # the layers after FREEZE_AT only the 1x1 convolutions learn; norms and depthwise kernels keep
    # their pre-trained values. The gradients of those kernels take half the time of a CPU's step.
    _C.MODEL.MOBILENET = CN(
        {"WIDTH": 1.4, "OUT_FEATURES": ["layer3", "layer5", "layer7"], "POINTWISE_ONLY": False}
    )
    # detectron2's keys, with values for trackers. ResNets: "" = MODEL.SIAMESE.NORM; another norm
    # here, such as "FrozenBN", is the backbone's alone. The stride is in the 3x3 convolution.
    _C.MODEL.RESNETS.NORM = ""
    _C.MODEL.RESNETS.STRIDE_IN_1X1 = False
    # Stages or layers that keep their weights for ever (AlexNet, ResNets, MobileNetV2).
    # detectron2's 2 is for pre-trained weights: without them it would keep random ones.
    _C.MODEL.BACKBONE.FREEZE_AT = 0
    # Compact backbone: channels of the stem, of the two stages after it and of the blocks.
    _C.MODEL.COMPACT = CN({"CHANNELS": [24, 48, 64, 128], "NUM_BLOCKS": 2})
    # SiamDW's networks: a name of CIR_NETWORKS in sot/modeling/backbone/cir.py; and the max pooling
    # of the stem: 2 as in the paper, or 3 as in the public code of CIResInception and CIResNeXt.
    _C.MODEL.CIR = CN({"NAME": "CIResNet-22", "STEM_POOL": 2})
    # Soft targets of a trained tracker, beside those of the annotations (sot/engine/teacher.py).
    # TEACHER: () for none; ("backbone.onnx", "head.onnx") of NanoTrack V3; or config and weights
    # of a SiamRPN network of this project. WEIGHT: factor on the losses against the teacher.
    # BOX_WEIGHT: a further factor on the loss against its boxes; 0 = annotated boxes only.
    _C.MODEL.DISTILL = CN({"TEACHER": (), "WEIGHT": 1.0, "BOX_WEIGHT": 1.0})
    # Anchor shapes truncated to integers as in the weights published with PySOT
    # (104x32, 88x40, 64x64, 40x80, 32x96 for size 64 at stride 8).
    _C.MODEL.ANCHOR_GENERATOR.TRUNCATE = False

    # ----------------------------------------------------------------- solver
    # "SGD" or "AdamW"; both through detectron2's parameter groups. CLIP_GRADIENTS.CLIP_TYPE is,
    # beside detectron2's "value" and "norm" (of each parameter by itself), "full_model": the norm
    # of all gradients together.
    _C.SOLVER.OPTIMIZER = "SGD"
    # Last learning rate of SOLVER.LR_SCHEDULER_NAME "WarmupExponentialLR", which falls to it from
    # BASE_LR by the same factor each iteration, once the warm-up is over.
    _C.SOLVER.BASE_LR_END = 0.0
    # SOLVER.AMP.ENABLED on a GPU: "float16" or "bfloat16"; on a CPU it is bfloat16, where the
    # processor has it, else off.
    _C.SOLVER.AMP.PRECISION = "float16"
    # The backbone learns at BASE_LR times this (SiamRPN++, Sec. 3.2: 0.1).
    _C.SOLVER.BACKBONE_LR_FACTOR = 1.0
    # Modules that keep their weights and statistics at first, each with the iteration from which
    # on it learns: [["backbone", 23437]]. Of modules in each other the inner one's counts.
    _C.SOLVER.UNFREEZE = []
    # The last periodic checkpoints that stay (0 = all), beside model_final and model_best.
    _C.SOLVER.CHECKPOINT_KEEP = 5
    # Evaluate, and publish, an exponential moving average of the weights (and of the norms'
    # statistics) over the iterations: sot/engine/ema.py.
    _C.SOLVER.EMA = CN({"ENABLED": False, "DECAY": 0.999})

    # Protocol by which DATASETS.TEST are scored, such as "vot2018"; the names are in
    # sot/evaluation/protocols.py. "" = that of each set ("otb" for own folders).
    _C.TEST.PROTOCOL = ""

    # ---------------------------------------------------------------- tracker
    _C.TEST.TRACKER = CN()
    # What the network runs in: "torch"; "onnxruntime" (on a CPU; a network whose graphs do not come
    # with the package is exported once and kept in the user's cache folder); or "auto": onnxruntime
    # where it is installed and the graphs come with the package, which are those of networks that
    # gain, else torch. The evaluation during training is always in torch.
    _C.TEST.TRACKER.ENGINE = "auto"
    # Sequences that an evaluation in one pass follows side by side: threads read their next frames
    # meanwhile, and on a GPU their crops go through the network at once, which changes rounding.
    _C.TEST.TRACKER.BATCH_SEQUENCES = 1
    # The tracker is the one of MODEL.META_ARCHITECTURE. For all of them: weight of the cosine
    # window, rate of the size smoothing, and the score below which the result's status is
    # "uncertain"; the box is then still the best guess.
    _C.TEST.TRACKER.WINDOW_INFLUENCE = 0.40
    _C.TEST.TRACKER.SIZE_LR = 0.30
    _C.TEST.TRACKER.CONFIDENCE_THRESHOLD = 0.5
    # How a crop is cut. "subpixel" resamples the region once, at its exact place. "pysot" cuts
    # whole pixels and resizes them, as PySOT's trackers do: then its weights give its boxes.
    _C.TEST.TRACKER.CROP = "subpixel"
    # The sides of a box are at least this many frame pixels (PySOT: 10).
    _C.TEST.TRACKER.MIN_SIDE = 4.0
    # Long-term tracking, as in PySOT's (there 831, 0.85 and 0.998): a score below LOST_BELOW keeps
    # the last box, with status "lost"; then crops of side LOST_SEARCH_SIZE are searched until a
    # score is above FOUND_ABOVE. Side 0 = off.
    _C.TEST.TRACKER.LOST_SEARCH_SIZE = 0
    _C.TEST.TRACKER.LOST_BELOW = 0.85
    _C.TEST.TRACKER.FOUND_ABOVE = 0.998
    # Learn a model of each target while it is followed: sot/tracking/online.py.
    _C.TEST.TRACKER.ONLINE = CN()
    _C.TEST.TRACKER.ONLINE.ENABLED = False
    # Share of the model in the ranking of positions, beside the network's score; and the weight of
    # the cosine window, in place of WINDOW_INFLUENCE.
    _C.TEST.TRACKER.ONLINE.SHARE = 0.5
    _C.TEST.TRACKER.ONLINE.WINDOW_INFLUENCE = 0.1
    # Share of a new frame in what the model knows; twice as much with a distractor in sight.
    _C.TEST.TRACKER.ONLINE.RATE = 0.04
    # Scores, the network's and the model's, above which a frame is learned from. A box that the
    # network scores lower is not believed: only the position is taken.
    _C.TEST.TRACKER.ONLINE.ACCEPT_ABOVE = [0.3, 0.25]
    # Scores above which the running template follows the target, and that template's share in the
    # network's kernels, beside the first frame's.
    _C.TEST.TRACKER.ONLINE.SURE_ABOVE = [0.8, 0.5]
    _C.TEST.TRACKER.ONLINE.TEMPLATE_SHARE = 0.4
    # SiamRPN: how many times too large the network's boxes are on the first frame, where the true
    # box is known. This share of it, as a logarithm, is taken off all later boxes.
    _C.TEST.TRACKER.ONLINE.SIZE_SHARE = 0.5
    # SiamRPN, proposal selection (Sec. 4.3). Penalty k for a change of scale and ratio:
    # exp(-k (max(r/r', r'/r) max(s/s', s'/s) - 1)).
    _C.TEST.TRACKER.PENALTY_K = 0.16
    # Only anchors of the g x g positions in the middle of the response map compete (the paper: 7);
    # 0 = all.
    _C.TEST.TRACKER.CENTER_SIZE = 0
    # SiamFC: number of scales searched (odd), factor from one to the next, factor on the peaks of
    # all scales but the present one, and how much finer the response map is made by interpolation.
    # The authors' SiamFC-3s; the paper's five scales are 5 and 1.025 with SIZE_LR 0.35 (Sec. 4.1).
    _C.TEST.TRACKER.NUM_SCALES = 3
    _C.TEST.TRACKER.SCALE_STEP = 1.0375
    _C.TEST.TRACKER.SCALE_PENALTY = 0.9745
    _C.TEST.TRACKER.RESPONSE_UP = 16
