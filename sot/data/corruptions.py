"""Augmentations of a crop's pixels: the effects of light, cameras, codecs and other objects. They
move nothing, so the target's box stays as it is. detectron2's RandomApply gives them a
probability."""

from dataclasses import dataclass
from typing import Tuple

import cv2
import numpy as np
from detectron2.data.transforms import Augmentation, ColorTransform

_LUMA = np.array([0.114, 0.587, 0.299])  # ITU-R BT.601, BGR


def gray_transform() -> ColorTransform:
    """A transform into gray: three equal channels with the luma of the image."""
    matrix = np.tile([*_LUMA, 0.0], (3, 1))
    return ColorTransform(lambda image: cv2.transform(image, matrix))


@dataclass
class ColorJitter(Augmentation):
    """Random brightness, contrast, saturation and white balance, applied as one affine map of
    colours."""

    brightness: float = 0.15  # offset in units of 255, up to this
    contrast: float = 0.25  # this and the others: factors 1 +- up to this
    saturation: float = 0.4
    balance: float = 0.08

    def get_transform(self, image):
        contrast = 1 + np.random.uniform(-self.contrast, self.contrast)
        saturation = 1 + np.random.uniform(-self.saturation, self.saturation)
        balance = 1 + np.random.uniform(-self.balance, self.balance, 3)
        offset = 255 * np.random.uniform(-self.brightness, self.brightness)
        matrix = np.empty((3, 4))
        matrix[:, :3] = saturation * np.eye(3) + (1 - saturation) * _LUMA
        matrix[:, :3] *= contrast * balance[:, None]
        # the contrast changes around middle gray, so that the brightness stays
        matrix[:, 3] = 127.5 * (1 - contrast) + offset
        return ColorTransform(lambda image: cv2.transform(image, matrix))


@dataclass
class MotionBlur(Augmentation):
    """Blur along a line of random direction."""

    max_length: int = 15  # of the line, in pixels

    def get_transform(self, image):
        reach = int(np.random.randint(1, self.max_length // 2 + 1))
        angle = np.random.uniform(0, np.pi)
        x, y = round(reach * np.cos(angle)), round(reach * np.sin(angle))
        # the kernel is no larger than the line, because OpenCV is slow for kernels of 12 x 12 and
        # more
        kernel = np.zeros((2 * y + 1, 2 * abs(x) + 1), np.float32)
        cv2.line(kernel, (abs(x) - x, 0), (abs(x) + x, 2 * y), 1.0)
        kernel /= kernel.sum()
        return ColorTransform(lambda image: cv2.filter2D(image, -1, kernel))


@dataclass
class LowResolution(Augmentation):
    """Low resolution: the crop is shrunk and enlarged again."""

    max_factor: float = 4.0  # the factor is log-uniform from 1 to this

    def get_transform(self, image):
        size = image.shape[1::-1]
        factor = self.max_factor ** np.random.uniform()
        small = tuple(max(1, round(side / factor)) for side in size)

        def apply(image):
            image = cv2.resize(image, small, interpolation=cv2.INTER_AREA)
            return cv2.resize(image, size, interpolation=cv2.INTER_LINEAR)

        return ColorTransform(apply)


@dataclass
class Compression(Augmentation):
    """Compression as a JPEG of low quality."""

    quality: Tuple[int, int] = (10, 60)  # uniform from the first to the second, 0..100

    def get_transform(self, image):
        quality = int(np.random.randint(self.quality[0], self.quality[1] + 1))

        def apply(image):
            _, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])
            return cv2.imdecode(data, cv2.IMREAD_COLOR)

        return ColorTransform(apply)


@dataclass
class SensorNoise(Augmentation):
    """Gaussian noise, the same in all channels."""

    max_sigma: float = 15.0  # standard deviation: uniform from 0 to this, in levels of 0..255

    def get_transform(self, image):
        sigma = np.random.uniform(0, self.max_sigma)
        # OpenCV's generator is several times faster than NumPy's, which draws its seed
        rng_seed = int(np.random.randint(2**31))

        def apply(image):
            cv2.setRNGSeed(rng_seed)
            noise = np.empty(image.shape[:2], np.int16)
            cv2.randn(noise, 0, sigma)
            return cv2.add(image, cv2.merge([noise] * 3), dtype=cv2.CV_8U)

        return ColorTransform(apply)


@dataclass
class Occlusion(Augmentation):
    """Covers a part of the target with another part of the picture. The box is still that of the
    whole target, as in the annotations of tracking datasets."""

    # width and height of the cover, in sides of the target: uniform from the first to the second
    extent: Tuple[float, float] = (0.2, 0.6)

    def get_transform(self, image, boxes):
        """boxes: (1, 4) XYXY of the target."""
        x0, y0, x1, y1 = boxes[0]
        limits = np.array(image.shape[1::-1])
        sides = np.array([x1 - x0, y1 - y0]) * np.random.uniform(*self.extent, 2)
        w, h = sides = np.clip(np.rint(sides), 1, limits).astype(int)
        # the centre of the cover is inside the target; the border of the picture may cut it
        center = np.array([np.random.uniform(x0, x1), np.random.uniform(y0, y1)])
        x, y = np.clip(np.rint(center - sides / 2), 0, limits - sides).astype(int)
        u, v = (np.random.randint(0, m - s + 1) for m, s in zip(limits, sides))

        def apply(image):
            out = image.copy()
            out[y : y + h, x : x + w] = image[v : v + h, u : u + w]
            return out

        return ColorTransform(apply)
