"""Cutting crops out of frames, and moving crops and outputs between main memory and device."""

from typing import List, NamedTuple, Sequence, Tuple, Type

import cv2
import numpy as np
import torch

from ..boxes import sides_of
from ..data.transforms import SubwindowTransform, WholePixelTransform

# The values of TEST.TRACKER.CROP: ways to cut a region out of a frame.
CROPS = {"subpixel": SubwindowTransform, "pysot": WholePixelTransform}


class Region(NamedTuple):
    """A square of a frame that a crop shows.

    Attributes:
        rect: XYXY in frame pixels.
        crop_size: side of the crop, in crop pixels.
        transform: the class that cuts it.
    """

    rect: Tuple[float, float, float, float]
    crop_size: int
    transform: Type[SubwindowTransform] = SubwindowTransform

    @property
    def per_pixel(self) -> float:
        """Frame pixels per crop pixel."""
        return (self.rect[2] - self.rect[0]) / self.crop_size

    def cut(self, image: np.ndarray, pad_value: Sequence[float]) -> np.ndarray:
        """The crop (S, S, 3), with the colour ``pad_value`` outside of the image."""
        size = (self.crop_size, self.crop_size)
        return self.transform(self.rect, size, pad_value).apply_image(image)

    def size_in_crop(self, box: np.ndarray) -> np.ndarray:
        """(w, h) in crop pixels of a box XYXY in frame pixels."""
        return sides_of(box) / self.per_pixel

    def to_frame(self, point: np.ndarray) -> np.ndarray:
        """(x, y) in crop pixels -> frame pixels."""
        return np.array(self.rect[:2]) + point * self.per_pixel


def to_host(outputs, *others: torch.Tensor) -> List[np.ndarray]:
    """Copy tensors into arrays in the main memory. Tensors on a GPU are copied in one transfer.

    Args:
        outputs: one tensor, or a tuple of tensors.
        others: further tensors.
    """
    tensors = [*(outputs if isinstance(outputs, tuple) else (outputs,)), *others]
    if tensors[0].is_cuda:
        flat = torch.cat([t.reshape(-1) for t in tensors]).cpu()
        parts = flat.split([t.numel() for t in tensors])
        tensors = [p.view(t.shape) for p, t in zip(parts, tensors)]
    return [t.numpy() for t in tensors]


def as_bgr(image) -> np.ndarray:
    """Turn an image into (H, W, 3) uint8 BGR. It may also be gray or have an alpha channel.

    Raises:
        ValueError: the image has another shape or type.
    """
    if not (isinstance(image, np.ndarray) and image.dtype == np.uint8):
        given = image.dtype if isinstance(image, np.ndarray) else type(image)
        if image is None:
            given = "None, which OpenCV returns for an image that it cannot read"
        raise ValueError(
            f"image must be an array (H, W, 3) of uint8, BGR, or (H, W), gray, not {given}"
        )
    gray = image.ndim == 2 or image.ndim == 3 and image.shape[2] == 1
    if 0 in image.shape or not (gray or image.ndim == 3 and image.shape[2] in (3, 4)):
        raise ValueError(f"image must be (H, W, 3), or gray (H, W), got shape {image.shape}")
    if gray:
        return cv2.cvtColor(image, cv2.COLOR_GRAY2BGR)
    return image if image.shape[2] == 3 else cv2.cvtColor(image, cv2.COLOR_BGRA2BGR)
