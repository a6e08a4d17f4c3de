"""Config keys of the project, with their defaults.

Everything not listed here is a detectron2 key with detectron2's meaning.
"""

from detectron2.config import CfgNode as CN

# Keys that earlier versions had, with the values that the code now uses. A config may still set a
# key to this value; any other value is refused.
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
    # Sides in pixels of the square crops that the network sees.
    _C.INPUT.TEMPLATE_SIZE = 127
    _C.INPUT.SEARCH_SIZE_TRAIN = 255
    _C.INPUT.SEARCH_SIZE_TEST = 255
    # Context c around a box of w x h: the template crop covers a square of side
    # sqrt((w + 2p)(h + 2p)) with p = c (w + h) / 2 (SiamFC, Sec. 2.3: c = 0.5).
    _C.INPUT.CONTEXT_AMOUNT = 0.5
    # Augmentation of the template crop. The target is shifted by up to SHIFT crop pixels, and the
    # side of the crop changes by up to the fraction SCALE: the spatial-aware sampling of SiamRPN++
    # (Sec. 3.1). Both are drawn uniformly, separately for x and y. All other keys are
    # probabilities. WARP_PROB is the probability of a rotation with shear and a change of
    # perspective (see RandomWarp).
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
    # Augmentation of the search crop. It has all keys of TEMPLATE_AUG; these three have other
    # defaults.
    _C.INPUT.SEARCH_AUG = _C.INPUT.TEMPLATE_AUG.clone()
    _C.INPUT.SEARCH_AUG.SHIFT = 64.0
    _C.INPUT.SEARCH_AUG.SCALE = 0.18
    _C.INPUT.SEARCH_AUG.BLUR_PROB = 0.2
    # Probabilities with which both crops of a pair are turned into gray, and are mirrored.
    _C.INPUT.GRAY_PROB = 0.25
    _C.INPUT.FLIP_PROB = 0.5

    # ------------------------------------------------------------------- data
    # How often each track of a training set comes up in an epoch: one number for each training set.
    # () means once.
    _C.DATASETS.TRAIN_REPEAT_FACTOR = ()
    # Number of pairs that each training set gives to an epoch: one number for each training set. If
    # it is 0, TRAIN_REPEAT_FACTOR applies to that set instead. () means 0 for all of them.
    _C.DATASETS.TRAIN_EPOCH_SIZE = ()
    # Largest distance in frames between the template and the search frame of a pair: one number for
    # each training set. () means each dataset's own value, which is that of the papers: 100, and 3
    # for the sparse frames of YouTube-BB.
    _C.DATASETS.FRAME_RANGE = ()
    # Fraction of the pairs whose search crop shows another object than the template crop does.
    _C.DATALOADER.NEGATIVE_PAIR_FRACTION = 0.2

    # ------------------------------------------------------------------ model
    _C.MODEL.SIAMESE = CN()
    # Channels to which a 1x1 convolution with a norm brings each backbone feature: one number for
    # all features, or one for each. [] means that there is no such convolution.
    _C.MODEL.SIAMESE.ADJUST_CHANNELS = []
    # Side to which the template features are cut around their centre, after the neck. 0 keeps all
    # of them.
    _C.MODEL.SIAMESE.TEMPLATE_FEATURE_SIZE = 0
    # Normalization in backbone, neck and head: a name of detectron2.layers.get_norm. With several
    # GPUs "BN" computes its statistics on each GPU's share of the batch, and "SyncBN" on the whole
    # batch.
    _C.MODEL.SIAMESE.NORM = "BN"
    # Channels of the correlation in the RPN head. 0 means as many as its input has.
    _C.MODEL.SIAMESE.HEAD_CHANNELS = 0
    # For MultiLevelRPNHead: LEVEL_HEAD is the head on each level (a name in RPN_HEAD_REGISTRY).
    # LEVEL_WEIGHTED True learns a weight for each level; False takes the plain mean of the levels.
    _C.MODEL.SIAMESE.LEVEL_HEAD = "DepthwiseRPNHead"
    _C.MODEL.SIAMESE.LEVEL_WEIGHTED = True
    # AlexNet: one value for each convolution, and the number of groups in the second, fourth and
    # fifth. POOL_STRIDES are the strides of the 3x3 max poolings after the convolutions, 0 for no
    # pooling. PADDED pads convolutions and poolings by half a kernel.
    _C.MODEL.ALEXNET = CN()
    _C.MODEL.ALEXNET.CHANNELS = [96, 256, 384, 384, 256]
    _C.MODEL.ALEXNET.GROUPS = 1
    _C.MODEL.ALEXNET.KERNELS = [11, 5, 3, 3, 3]
    _C.MODEL.ALEXNET.STRIDES = [2, 1, 1, 1, 1]
    _C.MODEL.ALEXNET.POOL_STRIDES = [2, 2, 0, 0, 0]
    _C.MODEL.ALEXNET.PADDED = False
    # SiamFC: OUT_SCALE is a fixed factor on the correlation, because that is a sum of thousands of
    # products. A position of the response map is positive if it is at most POS_RADIUS pixels of the
    # search crop away from the centre of the target (Sec. 2.2).
    _C.MODEL.SIAMFC = CN({"OUT_SCALE": 0.001, "POS_RADIUS": 16.0})
    # MobileNetV2: WIDTH is a factor on all channels, and OUT_FEATURES names the layers whose
    # outputs are used. With POINTWISE_ONLY True only the 1x1 convolutions of the layers after
    # FREEZE_AT learn: norms and depthwise kernels keep their pre-trained values, because the
    # gradients of depthwise kernels take half of the time of an iteration on a CPU.
    _C.MODEL.MOBILENET = CN(
        {"WIDTH": 1.4, "OUT_FEATURES": ["layer3", "layer5", "layer7"], "POINTWISE_ONLY": False}
    )
    # detectron2's keys for ResNets, with other defaults. NORM "" means that of MODEL.SIAMESE.NORM;
    # another norm, such as "FrozenBN", is for the backbone alone. STRIDE_IN_1X1 False puts the
    # stride of a stage into its first 3x3 convolution.
    _C.MODEL.RESNETS.NORM = ""
    _C.MODEL.RESNETS.STRIDE_IN_1X1 = False
    # Number of stages or layers whose weights never change (AlexNet, ResNets, MobileNetV2).
    # detectron2's default of 2 suits pre-trained weights; without them it would keep random
    # weights.
    _C.MODEL.BACKBONE.FREEZE_AT = 0
    # Compact backbone: CHANNELS of the stem, of the two stages after it, and of the residual
    # blocks.
    _C.MODEL.COMPACT = CN({"CHANNELS": [24, 48, 64, 128], "NUM_BLOCKS": 2})
    # SiamDW's networks: NAME is one of CIR_NETWORKS in sot/modeling/backbone/cir.py. STEM_POOL is
    # the kernel of the max pooling in the stem: 2 as in the paper, 3 as in the public code of
    # CIResInception and CIResNeXt, or 0 for no pooling. The other keys vary a network. NUM_UNITS
    # are the units in res2 and res3, () for those of the network, and STRIDES are the strides of
    # these two, 1 or 2. With PADDED convolutions are padded and nothing is cropped.
    _C.MODEL.CIR = CN({"NAME": "CIResNet-22", "STEM_POOL": 2})
    _C.MODEL.CIR.NUM_UNITS = ()
    _C.MODEL.CIR.STRIDES = (1, 2)
    _C.MODEL.CIR.PADDED = False
    # Distillation: a trained tracker, the teacher, gives soft targets in addition to the
    # annotations (sot/engine/teacher.py). TEACHER is () for none, the two files ("backbone.onnx",
    # "head.onnx") of NanoTrack V3, or the config and the weights of a SiamRPN network of this
    # project. WEIGHT is a factor on the losses against the teacher. BOX_WEIGHT is a further factor
    # on the loss against the teacher's boxes; with 0 boxes are learned from the annotations alone.
    _C.MODEL.DISTILL = CN({"TEACHER": (), "WEIGHT": 1.0, "BOX_WEIGHT": 1.0})
    # Whether the sides of anchors are truncated to integers, as the weights published with PySOT
    # expect (104x32, 88x40, 64x64, 40x80 and 32x96 for size 64 at stride 8).
    _C.MODEL.ANCHOR_GENERATOR.TRUNCATE = False

    # ----------------------------------------------------------------- solver
    # "SGD" or "AdamW", with detectron2's parameter groups. SOLVER.CLIP_GRADIENTS.CLIP_TYPE can also
    # be "full_model", which clips the norm of all gradients together; detectron2's "value" and
    # "norm" clip each parameter by itself.
    _C.SOLVER.OPTIMIZER = "SGD"
    # Learning rate at the end of a training with SOLVER.LR_SCHEDULER_NAME "WarmupExponentialLR".
    # After the warm-up the rate falls from BASE_LR to this value, by the same factor in each
    # iteration.
    _C.SOLVER.BASE_LR_END = 0.0
    # Precision that SOLVER.AMP.ENABLED uses on a GPU: "float16" or "bfloat16". On a CPU it is
    # always bfloat16; on a processor without bfloat16 AMP stays off.
    _C.SOLVER.AMP.PRECISION = "float16"
    # Factor on BASE_LR for the backbone (SiamRPN++, Sec. 3.2: 0.1).
    _C.SOLVER.BACKBONE_LR_FACTOR = 1.0
    # Modules that keep their weights and norm statistics at first, each with the iteration at which
    # it starts to learn: [["backbone", 23437]]. If one of them contains another, a parameter
    # follows the innermost module that contains it.
    _C.SOLVER.UNFREEZE = []
    # Number of periodic checkpoints that are kept, beside model_final and model_best. 0 keeps all.
    _C.SOLVER.CHECKPOINT_KEEP = 5
    # With EMA.ENABLED True an exponential moving average of the weights and norm statistics is
    # evaluated and published (sot/engine/ema.py).
    _C.SOLVER.EMA = CN({"ENABLED": False, "DECAY": 0.999})

    # ------------------------------------------------------------- evaluation

    # Protocol that scores DATASETS.TEST, such as "vot2018" (names: docs/protocols.md). "" means the
    # protocol of each dataset; for your own folders that is "otb".
    _C.TEST.PROTOCOL = ""

    # ---------------------------------------------------------------- tracker
    _C.TEST.TRACKER = CN()
    # What runs the network. "torch" is PyTorch. "onnxruntime" and "openvino" work on a CPU; a
    # network whose graphs do not come with the package is exported once and kept in the user's
    # cache folder. "openvino" computes in bfloat16 if the processor has instructions for its matrix
    # products, so boxes and scores then differ a little from those of the other engines. "auto" is
    # onnxruntime if it is installed and the graphs come with the package, which has them for the
    # networks that get faster; otherwise it is torch. Evaluation during training always uses torch.
    _C.TEST.TRACKER.ENGINE = "auto"
    # Number of sequences that a one-pass evaluation follows side by side. Threads read their next
    # frames at the same time. On a GPU their crops go through the network as one batch, which
    # changes rounding.
    _C.TEST.TRACKER.BATCH_SEQUENCES = 1
    # MODEL.META_ARCHITECTURE chooses the tracker. All trackers have these: the weight of the cosine
    # window, the rate at which the size of the box follows the prediction, and the score below
    # which the status is "uncertain". An uncertain box is still the best guess.
    _C.TEST.TRACKER.WINDOW_INFLUENCE = 0.40
    _C.TEST.TRACKER.SIZE_LR = 0.30
    _C.TEST.TRACKER.CONFIDENCE_THRESHOLD = 0.5
    # How a crop is cut. "subpixel" resamples the region once, at its exact place. "pysot" cuts
    # whole pixels and resizes them, as PySOT's trackers do, so that PySOT's weights give PySOT's
    # boxes.
    _C.TEST.TRACKER.CROP = "subpixel"
    # Smallest side of a box, in frame pixels (PySOT: 10).
    _C.TEST.TRACKER.MIN_SIDE = 4.0
    # Long-term tracking as in PySOT, which has 831, 0.85 and 0.998. Below the score LOST_BELOW the
    # target is lost. Its box stays while the score is below LOST_BELOW. Larger crops, of side
    # LOST_SEARCH_SIZE, are searched until the score is above FOUND_ABOVE. LOST_SEARCH_SIZE 0 turns
    # this off.
    _C.TEST.TRACKER.LOST_SEARCH_SIZE = 0
    _C.TEST.TRACKER.LOST_BELOW = 0.85
    _C.TEST.TRACKER.FOUND_ABOVE = 0.998
    # Whether the tracker learns a model of each target while it follows it
    # (sot/tracking/online.py).
    _C.TEST.TRACKER.ONLINE = CN()
    _C.TEST.TRACKER.ONLINE.ENABLED = False
    # SHARE is the weight of that model in the ranking of positions; the rest is the network's.
    # WINDOW_INFLUENCE is the weight of the cosine window; it takes the place of
    # TEST.TRACKER.WINDOW_INFLUENCE.
    _C.TEST.TRACKER.ONLINE.SHARE = 0.5
    _C.TEST.TRACKER.ONLINE.WINDOW_INFLUENCE = 0.1
    # Weight of a new frame in what the model has learned. It is doubled while a distractor is in
    # sight.
    _C.TEST.TRACKER.ONLINE.RATE = 0.04
    # The model learns from a frame if the network's score and the model's score are above these two
    # values, and the network's score is above 85 % of its usual value for this target. If the
    # network's score is below the first value, the target's centre is the best position of the
    # response map instead of the centre of the predicted box.
    _C.TEST.TRACKER.ONLINE.ACCEPT_ABOVE = [0.3, 0.25]
    # A running template is updated if the network's score and the model's score are above
    # SURE_ABOVE. TEMPLATE_SHARE is its weight in the kernels of the network; the rest is the first
    # frame's.
    _C.TEST.TRACKER.ONLINE.SURE_ABOVE = [0.8, 0.5]
    _C.TEST.TRACKER.ONLINE.TEMPLATE_SHARE = 0.4
    # SiamRPN only. The first frame shows by which factor the network's boxes are too large, because
    # its true box is known. This share of the logarithm of that factor is taken off all later
    # boxes.
    _C.TEST.TRACKER.ONLINE.SIZE_SHARE = 0.5
    # If no match in the search region is above ACCEPT_ABOVE, regions that are 1.5 and 2 times as
    # wide are searched in the same frame. A match there needs both scores above FOUND_ABOVE, and
    # their mean has to be higher by 0.2 than in the usual region. After LOST_AFTER frames in a row
    # without a match the target is lost: its box stays until a match in any region is above
    # FOUND_ABOVE. With LOST_AFTER 0 it is never lost. With LOST_SEARCH_SIZE, long-term tracking
    # (above) takes the place of all this.
    _C.TEST.TRACKER.ONLINE.LOST_AFTER = 5
    _C.TEST.TRACKER.ONLINE.FOUND_ABOVE = [0.4, 0.25]
    # SiamRPN, proposal selection (Sec. 4.3): the penalty k for a change of the scale s and the
    # ratio r of the box. The score is multiplied by exp(-k (max(r/r', r'/r) max(s/s', s'/s) - 1)),
    # where s' and r' are those of the box before.
    _C.TEST.TRACKER.PENALTY_K = 0.16
    # SiamRPN: only anchors of the g x g positions in the middle of the response map are candidates
    # (the paper: 7). 0 means all positions.
    _C.TEST.TRACKER.CENTER_SIZE = 0
    # SiamFC: the number of scales that are searched (odd), the factor from one scale to the next,
    # the factor on the peaks of all scales but the present one, and the factor by which
    # interpolation makes the response map finer. The defaults are those of the authors' SiamFC-3s.
    # The paper's five scales are NUM_SCALES 5 and SCALE_STEP 1.025 with SIZE_LR 0.35 (Sec. 4.1).
    _C.TEST.TRACKER.NUM_SCALES = 3
    _C.TEST.TRACKER.SCALE_STEP = 1.0375
    _C.TEST.TRACKER.SCALE_PENALTY = 0.9745
    _C.TEST.TRACKER.RESPONSE_UP = 16
