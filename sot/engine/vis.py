"""Pictures of training pairs and the predictions of the network for them."""

from typing import Dict, Sequence

import cv2
import numpy as np
import torch
from detectron2.engine import HookBase
from detectron2.evaluation import inference_context
from torch.nn.parallel import DistributedDataParallel

from ..boxes import from_center, sides_of
from ..modeling.anchor_generator import response_centers
from ..visualization import TRUTH_COLOR, draw_box, target_color

NUM_PAIRS = 4
OTHER_COLOR = (32, 32, 224)  # BGR, of the box in a negative pair


class VisualizePairs(HookBase):
    """Puts a picture into the event storage every ``period`` iterations (0: never), from where it
    goes to TensorBoard. It shows the first NUM_PAIRS pairs of the batch and the predictions of the
    network in eval mode, which is the mode in which it tracks. See :func:`draw_predictions`.

    It has no effect on the training: it changes no weights and draws no random numbers."""

    def __init__(self, period: int):
        self.period = period

    def after_step(self):
        if self.period > 0 and (self.trainer.iter + 1) % self.period == 0:
            self.trainer.storage.put_image("pairs", self.draw())

    @torch.no_grad()
    def draw(self) -> np.ndarray:
        """Draw the picture of the current iteration."""
        loader, model = self.trainer.data_loader, self.trainer.model
        if isinstance(model, DistributedDataParallel):
            model = model.module  # the other ranks take no part in this forward pass
        first = self.trainer.iter * loader.total_batch_size
        count = min(NUM_PAIRS, loader.total_batch_size)
        # a pair depends only on its index, so these are the pairs of the batch
        pairs = [loader.dataset[first + k] for k in range(count)]
        with inference_context(model):
            results = model(pairs)
        return draw_predictions(pairs, results, model.stride)


def draw_predictions(pairs: Sequence[Dict], results: Sequence[Dict], stride: int) -> np.ndarray:
    """Draw a row for each item of a SiameseDatasetMapper.

    A row shows the template crop; the search crop with the true box (in a negative pair the box of
    the other object) and the best box with its score; and the response map over the search crop,
    from black (0) to bright (1). SiamFC predicts no box: a box of the true size is drawn at the
    peak of the response.

    Args:
        pairs: items of a SiameseDatasetMapper.
        results: the outputs of the model in eval mode for these pairs.
        stride: stride of the response map, in crop pixels.

    Returns:
        (3, H, W) uint8 RGB.
    """
    rows = [_draw_row(pair, result, stride) for pair, result in zip(pairs, results)]
    return np.ascontiguousarray(np.concatenate(rows)[..., ::-1].transpose(2, 0, 1))


def _draw_row(pair: Dict, result: Dict, stride: int) -> np.ndarray:
    """(S, Sz + 2 S, 3) BGR."""
    template, search = (
        np.ascontiguousarray(pair[k].permute(1, 2, 0).numpy()) for k in ("template", "search")
    )
    response = result["response"].sigmoid().cpu().numpy()
    truth = pair["instances"].gt_boxes.tensor[0].numpy()
    if "instances" in result:
        best = result["instances"].pred_boxes.tensor[0].cpu().numpy()
    else:
        best = _box_at_peak(response, truth, stride, len(search))
    negative = bool(pair["instances"].gt_negative)
    overlay = _overlay(search, response, stride)
    for image in (search, overlay):
        draw_box(image, truth, OTHER_COLOR if negative else TRUTH_COLOR)
    draw_box(search, best, target_color(0), f"{response.max():.2f}")
    padding = ((0, len(search) - len(template)), (0, 0), (0, 0))
    return np.concatenate([np.pad(template, padding), search, overlay], axis=1)


def _box_at_peak(response: np.ndarray, like: np.ndarray, stride: int, crop_size: int) -> np.ndarray:
    """The box XYXY around the maximum of the response, with the size of ``like``."""
    peak = np.unravel_index(response.argmax(), response.shape)
    centers = response_centers(response.shape, stride, crop_size)
    y, x = (float(c[i]) for c, i in zip(centers, peak))
    return from_center((x, y), sides_of(like))


def _overlay(search: np.ndarray, response: np.ndarray, stride: int) -> np.ndarray:
    """The crop (S, S, 3) with the response (H, W), in 0..1, as a heat map over it."""
    size = len(search)
    y, x = (float(c[0]) - 0.5 for c in response_centers(response.shape, stride, size))
    to_crop = np.float32([[stride, 0, x], [0, stride, y]])
    heat = cv2.warpAffine(np.float32(255 * response), to_crop, (size, size))
    colors = cv2.applyColorMap(heat.astype(np.uint8), cv2.COLORMAP_INFERNO)
    return cv2.addWeighted(search, 0.4, colors, 0.6, 0)
