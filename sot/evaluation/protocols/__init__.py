"""The protocols of the benchmarks: which frames they count, and how they compute their measures.

A protocol scores one sequence at a time and then summarizes the scores. Its `description` says what
it counts; it belongs beside the numbers. Perfect predictions reach 1 in all measures except
`success_auc`, because no IoU is above its last threshold, 1.

One detail of some toolkits is left out of the benchmarks' protocols on purpose. In the MATLAB
toolkits of OTB and LaSOT and in PySOT, a true box that is invalid, or that starts at 0 or below,
gets the distance -1, so that any prediction counts as right. The protocols "ope_..." do what each
of these toolkits does, for numbers that are compared with theirs.

Sources: [got10k] github.com/got-10k/toolkit 0.1.3, experiments/ and utils/metrics.py; [pysot]
github.com/STVIR/pysot, toolkit/; [lasot] github.com/HengLan/LaSOT_Evaluation_Toolkit, utils/;
[tn] github.com/SilvioGiancola/TrackingNet-devkit, metrics.py; for VOT see `measures.vot`.
"""

from typing import Dict

import numpy as np

from ...data import resolve
from ..experiments import Corrected, Restarts
from ..measures import metrics
from ..measures.vot import EAO_INTERVALS
from .base import Protocol
from .one_pass import OnePassProtocol
from .vot import LongTermProtocol, VOTProtocol

__all__ = ["PROTOCOLS", "Protocol", "get_protocol"]

_SUCCESS = (
    "success_auc: fraction of frames with an IoU above t, mean over t = 0, 0.05, ..., 1 (at most "
    "20/21 = 0.952, as no IoU is above 1). precision_20: centre at most 20 px off. "
    "norm_precision: centre off by at most t, in widths and heights of the true box; _20 at "
    "t = 0.2, _auc the mean over t = 0, 0.01, ..., 0.5. Means over frames, then over sequences. "
    "The first frame counts, with the box that was given. "
)
_NAN_FAILS = "A prediction that is no box is a failure. "

_IN_PIXELS = "Overlaps are counted in pixels inside of the image, with the polygons of the truth."
_AVERAGE_OVERLAP = (
    "average_overlap is the mean over the frames without the first 10, then over sequences "
    "weighted by their length."
)

_OTB_LIKE = ("success_auc", "precision_20", "norm_precision_auc")

PROTOCOLS: Dict[str, Protocol] = {
    protocol.name: protocol
    for protocol in (
        OnePassProtocol(
            "otb",
            "One-pass evaluation of OTB. "
            + _SUCCESS
            + _NAN_FAILS
            + "Frames whose target is absent or marked invisible are left out. OTB has no such "
            "frames, and its toolkits leave out none. The MATLAB toolkit replaces a prediction "
            "that is no box by the one before.",
            _OTB_LIKE,
        ),
        OnePassProtocol(
            "corrected",
            "No benchmark has this protocol. The tracker gets "
            f"{Corrected.CORRECTIONS} true boxes, evenly "
            "spread over the sequence, and follows the target between them in both directions. "
            "The frames of the given boxes count, because they are a part of the labels. "
            + _SUCCESS
            + _NAN_FAILS,
            _OTB_LIKE,
            Corrected,
        ),
        OnePassProtocol(
            "ope_matlab",
            "One-pass evaluation as in the MATLAB toolkit of OTB. "
            + _SUCCESS
            + "All frames count. A prediction without a positive width and height is replaced by "
            "the one before. In a frame whose true box has an x, y (counted from pixel 1), width "
            "or height of 0 or less, every overlap is a failure and every centre is right.",
            _OTB_LIKE,
            counted="all",
            near="box",
            repeat_invalid=True,
        ),
        OnePassProtocol(
            "ope_pysot",
            "One-pass evaluation as in PySOT. "
            + _SUCCESS
            + _NAN_FAILS
            + "All frames count. If the width or height of the true box is 0 or less, every "
            "overlap is a failure. If a coordinate of its centre (counted from pixel 1) is 0 or "
            "less, every centre is right.",
            _OTB_LIKE,
            counted="all",
            near="center",
        ),
        OnePassProtocol(
            "ope_got10k",
            "One-pass evaluation of OTB as in the got10k toolkit, which masks nothing. "
            + _SUCCESS
            + _NAN_FAILS
            + "All frames count. A frame without a true box is a failure.",
            _OTB_LIKE,
            counted="all",
        ),
        OnePassProtocol(
            "uav123",
            "One-pass evaluation of UAV123 and UAV20L. "
            + _SUCCESS
            + _NAN_FAILS
            + "Frames without the target (NaN) are left out, as in the got10k toolkit; PySOT keeps "
            "them in the denominator.",
            _OTB_LIKE,
        ),
        OnePassProtocol(
            "nfs",
            "One-pass evaluation of Need for Speed. "
            + _SUCCESS
            + _NAN_FAILS
            + "All frames with a box count, also those marked as lost, as in the got10k "
            "toolkit.",
            _OTB_LIKE,
            counted="box",
        ),
        OnePassProtocol(
            "lasot",
            "One-pass evaluation of LaSOT. "
            + _SUCCESS
            + "As in the official toolkit, frames in which the target is fully occluded or out of "
            "view are failures and stay in the denominator (perfect boxes reach 20/21 and 1, "
            "times the fraction of visible frames), and a prediction that is no box is replaced "
            "by the one before. The normalised precision of that toolkit is norm_precision_20 or "
            "norm_precision_auc, depending on a setting.",
            ("success_auc", "norm_precision_auc", "precision_20"),
            absent_fail=True,
            repeat_invalid=True,
        ),
        OnePassProtocol(
            "trackingnet",
            "One-pass evaluation of TrackingNet, as in the official development kit. Boxes are "
            "rounded to whole pixels. success_auc: fraction of frames with an IoU above t, area "
            "by the trapezoidal rule over t = 0, 0.05, ..., 1 (at most 0.975). precision_auc: "
            "centre at most t off, area in the same way over t = 0, 2.5, ..., 50 px. This is the "
            "benchmark's precision. norm_precision_auc: centre off by at most t, in widths and "
            "heights of the true box, area over t = 0, 0.025, ..., 0.5. precision_20 and "
            "norm_precision_20: at t = 20 px and at t = 0.2. All frames count, the first with the "
            "box that was given. Means over frames, then over sequences. " + _NAN_FAILS,
            ("success_auc", "norm_precision_auc", "precision_auc"),
            counted="box",
            whole_pixels=True,
            area=metrics.trapezoid_area,
            precision=tuple(np.linspace(0, 50, 21)),
            norm_precision=tuple(np.linspace(0, 0.5, 21)),
        ),
        OnePassProtocol(
            "got10k",
            "One-pass evaluation of GOT-10k, as in its toolkit. average_overlap (AO): mean IoU. "
            "sr_50, sr_75: fraction of frames with an IoU above 0.5, 0.75. Means are over the "
            "frames of all sequences at once. First frames, and frames in which nothing of the "
            "target can be seen (cover 0), do not count. Boxes are moved into the image first. "
            "success_auc is over 101 thresholds (at most 100/101). Precision is not part of that "
            "benchmark. A prediction with a NaN is a failure (the toolkit's AO would be NaN).",
            ("average_overlap", "sr_50", "sr_75"),
            counted="cover",
            first_frame=False,
            clip=True,
            pooled=True,
            success=tuple(np.linspace(0, 1, 101)),
        ),
        *(
            VOTProtocol(
                name,
                f"{name.upper()}, as in the VOT toolkit 0.7. {_IN_PIXELS} With restarts (the "
                "tracker fails in a frame with an overlap of 0, and starts again 5 frames later): "
                "accuracy is the mean overlap without the 10 frames that begin at each start. "
                "robustness is the number of failures in a sequence. Both are means over runs, "
                "then over sequences weighted by their length. failures is the number in all "
                "sequences. eao is the expected average overlap over lengths of "
                f"{interval[0]} to {interval[1]} frames. accuracy_pooled (over frames), "
                "failures_per_100 (frames) and eao_pysot are computed as in PySOT and in most "
                "papers on Siamese trackers; PySOT rasterises in another way. Without restarts: "
                f"{_AVERAGE_OVERLAP}",
                ("eao", "accuracy", "robustness", "average_overlap"),
                Restarts,
                "vot",
                interval,
            )
            for name, interval in EAO_INTERVALS.items()
        ),
        VOTProtocol(
            "vot_unsupervised",
            "One pass over a VOT dataset without restarts, as the unsupervised experiment of the "
            f"VOT toolkit 0.7. {_IN_PIXELS} {_AVERAGE_OVERLAP}",
            ("average_overlap",),
        ),
        LongTermProtocol(
            "vot2018_lt",
            "VOT long-term, as in the VOT toolkit 0.7. precision: mean overlap over the frames "
            "whose confidence is at least t. recall: the same sum, divided by the number of frames "
            "in which the target can be seen. Both are means over sequences. f_score: the largest "
            "harmonic mean of the two over all t; precision and recall are those at this t. t goes "
            "over at most 100 quantiles of the confidences of the whole dataset. The first frame "
            "has no region and the confidence 0, so perfect boxes have a recall of (n - 1) / n "
            "with n visible frames. Overlaps are counted in pixels inside of the image. A frame "
            "without a box has no prediction at any t. (The toolkit also gives it the overlap 1 if "
            "the target is absent, so its recall can be above 1.) The scores of one sequence use "
            "thresholds from that sequence.",
            ("f_score", "precision", "recall"),
        ),
    )
}


def get_protocol(dataset_name: str, name: str = "") -> Protocol:
    """The protocol `name` (TEST.PROTOCOL). If `name` is "", it is the protocol of the dataset, or
    "otb" if the dataset has none. ValueError: there is no such dataset or protocol."""
    name = name or resolve(dataset_name).protocol or "otb"
    if name not in PROTOCOLS:
        raise ValueError(
            f"dataset {dataset_name!r} asks for the protocol {name!r}; there are "
            f"{', '.join(PROTOCOLS)}"
        )
    return PROTOCOLS[name]
