"""Cutting crops out of frames, and moving crops and outputs between main memory and device."""

from typing import List, NamedTuple, Sequence, Tuple, Type

import numpy as np
import torch

from ..boxes import sides_of
from ..data.transforms import SubwindowTransform, WholePixelTransform

__all__ = ["CROPS", "Region", "to_device", "to_host"]

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


def to_device(crops: List[np.ndarray], device) -> torch.Tensor:
    """Crops (S, S, 3) -> one tensor (N, 3, S, S), uint8, on the device. Its memory is in the order
    of the crops (channels last)."""
    return torch.from_numpy(np.stack(crops)).to(device).permute(0, 3, 1, 2)


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
