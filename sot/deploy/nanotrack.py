"""NanoTrack V3 in onnxruntime, with the interface of a SiamRPN network.

The two ONNX files come from github.com/HonglinChu/SiamTrackers (Apache-2.0). The network is trained
on GOT-10k, LaSOT, ImageNet VID and DET, YouTube-BB and COCO. It serves as a teacher
(MODEL.DISTILL) and as a baseline; none of its layers is part of this project's weights.
"""

from typing import List, Tuple

import cv2
import numpy as np
import torch

from ..modeling.anchor_generator import response_centers
from .session import open_session

RESPONSE_SIDE = 15


class NanoTrack:
    """The backbone and the head of NanoTrack V3 as one network on the CPU.

    It has the parts of a SiamRPN network that SiamRPNTracker and the teacher of MODEL.DISTILL use:
    ``template``, ``detect``, ``stride``, ``num_anchors``, ``device`` and ``engine``. Crops of other
    sizes are resized to those of the network. They must show the same square of the frame.
    """

    device, engine = torch.device("cpu"), "onnxruntime"
    template_size, search_size = 127, 255
    stride = 16  # of the response map, in pixels of a search crop of 255
    num_anchors = 1

    def __init__(self, backbone: str, head: str, num_threads: int = 1):
        """
        Args:
            backbone, head: ONNX files.
            num_threads: threads of onnxruntime.

        Raises:
            FileNotFoundError: a file is missing.
            ValueError: onnxruntime is not installed or cannot read a file, or the files are not
                those of NanoTrack V3.
        """
        self.files, self.num_threads = (str(backbone), str(head)), num_threads
        self._backbone, self._head = (open_session(file, num_threads) for file in self.files)
        self._check()

    def __reduce__(self):
        # sessions of onnxruntime cannot be pickled, so the other process opens the files again
        return type(self), (*self.files, self.num_threads)

    def _check(self) -> None:
        try:
            blank = torch.zeros(1, 3, self.template_size, self.template_size, dtype=torch.uint8)
            search = torch.zeros(1, 3, self.search_size, self.search_size, dtype=torch.uint8)
            boxes, _ = self.detect(self.template(blank), search)
            fits = boxes.shape == (1, RESPONSE_SIDE**2, 4)
        except Exception as e:  # onnxruntime has a class of its own for each error
            raise ValueError(f"{' and '.join(self.files)} are not NanoTrack V3: {e}") from None
        if not fits:
            raise ValueError(f"{' and '.join(self.files)} are not NanoTrack V3")

    def _features(self, crops: torch.Tensor, side: int) -> np.ndarray:
        """(N, 96, side / 16, side / 16) features of crops (N, 3, S, S), uint8 BGR."""
        images = crops.permute(0, 2, 3, 1).numpy()
        if images.shape[1] != side:
            images = np.stack([cv2.resize(image, (side, side)) for image in images])
        images = np.ascontiguousarray(images.transpose(0, 3, 1, 2), dtype=np.float32)
        return self._backbone.run(None, {self._backbone.get_inputs()[0].name: images})[0]

    def template(self, crops: torch.Tensor) -> List[torch.Tensor]:
        """Kernels [(N, 96, 8, 8)] of N targets from template crops (N, 3, S, S), uint8 BGR."""
        return [torch.from_numpy(self._features(crops, self.template_size))]

    def detect(
        self, kernels: List[torch.Tensor], crops: torch.Tensor
    ) -> Tuple[torch.Tensor, torch.Tensor]:
        """Boxes (N, 225, 4), XYXY in pixels of the search crops (N, 3, S, S), and their scores
        (N, 225) in 0..1. A box is given by the distances of its sides from its position."""
        names = [i.name for i in self._head.get_inputs()]
        found = [
            self._head.run(None, {names[0]: z[None], names[1]: x[None]})
            for z, x in zip(kernels[0].numpy(), self._features(crops, self.search_size))
        ]  # the head takes one pair at a time
        logits, sides = (torch.from_numpy(np.concatenate(parts)) for parts in zip(*found))
        scores = logits.softmax(dim=1)[:, 1].flatten(1)
        y, x = response_centers(logits.shape[-2:], self.stride, self.search_size)
        y, x = torch.meshgrid(y, x, indexing="ij")
        left, top, right, bottom = sides.unbind(dim=1)
        boxes = torch.stack([x - left, y - top, x + right, y + bottom], dim=-1).flatten(1, 2)
        return boxes * (crops.shape[-1] / self.search_size), scores
