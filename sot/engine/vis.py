"""Pictures of what the network makes of its training pairs."""

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

OTHER_COLOR = (32, 32, 224)  # BGR, of the box in a negative pair


class VisualizePairs(HookBase):
    """Every ``period`` iterations (0: never) puts a picture into the event storage, from where it
    goes to TensorBoard: the first ``num_pairs`` pairs of the iteration's batch and what the
    network, as it tracks (with the running statistics of its norms), sees in them. See
    :func:`draw_predictions`.

    Training goes on as if it had not been there: nothing is learned and nothing drawn at random."""

    def __init__(self, period: int, num_pairs: int = 4):
        self.period = period
        self.num_pairs = num_pairs

    def after_step(self):
        if self.period > 0 and (self.trainer.iter + 1) % self.period == 0:
            self.trainer.storage.put_image("pairs", self.draw())

    @torch.no_grad()
    def draw(self) -> np.ndarray:
        """The picture of the present iteration."""
        loader, model = self.trainer.data_loader, self.trainer.model
        if isinstance(model, DistributedDataParallel):
            model = model.module  # the other ranks take no part in this forward pass
        first = self.trainer.iter * loader.total_batch_size
        count = min(self.num_pairs, loader.total_batch_size)
        # a pair depends on its index alone, so this is what the batch holds
        pairs = [loader.dataset[first + k] for k in range(count)]
        with inference_context(model):
            results = model(pairs)
        return draw_predictions(pairs, results, model.stride)


def draw_predictions(pairs: Sequence[Dict], results: Sequence[Dict], stride: int) -> np.ndarray:
    """One row for each item of a SiameseDatasetMapper: the template; the search crop with the true
    box, or that of the other object in a negative pair, and the best box with its score; and the
    response map, of a stride in crop pixels, over the search crop, from black (0) to bright (1).
    ``results`` are what the model makes of them in eval mode; without a box (SiamFC looks for a
    place alone) one of the true size is drawn at the peak of the response. Returns (3, H, W) uint8
    RGB."""
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
    """XYXY box around the maximum of the response, as large as ``like``."""
    peak = np.unravel_index(response.argmax(), response.shape)
    centers = response_centers(response.shape, stride, crop_size)
    y, x = (float(c[i]) for c, i in zip(centers, peak))
    return from_center((x, y), sides_of(like))


def _overlay(search: np.ndarray, response: np.ndarray, stride: int) -> np.ndarray:
    """The response (H, W) in 0..1 as a heat map over the crop (S, S, 3), each position where its
    centre lies."""
    size = len(search)
    y, x = (float(c[0]) - 0.5 for c in response_centers(response.shape, stride, size))
    to_crop = np.float32([[stride, 0, x], [0, stride, y]])
    heat = cv2.warpAffine(np.float32(255 * response), to_crop, (size, size))
    colors = cv2.applyColorMap(heat.astype(np.uint8), cv2.COLORMAP_INFERNO)
    return cv2.addWeighted(search, 0.4, colors, 0.6, 0)
