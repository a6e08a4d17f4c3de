"""What a camera, a codec and other objects do to a target, as augmentations of a crop."""

from typing import Tuple

import cv2
import numpy as np

from .transforms import WithProbability

__all__ = ["Compression", "LowResolution", "Occlusion", "SensorNoise"]


class LowResolution(WithProbability):
    """The detail of a smaller picture: shrunk and enlarged again."""

    def __init__(self, prob: float, max_factor: float = 4.0):
        """
        Args:
            prob: of doing anything.
            max_factor: it is shrunk by 1 to this, log-uniform.
        """
        super().__init__()
        self._init(locals())

    def draw(self, size, boxes=None):
        factor = self.max_factor ** np.random.uniform()
        small = tuple(max(1, round(side / factor)) for side in size[::-1])

        def apply(image):
            image = cv2.resize(image, small, interpolation=cv2.INTER_AREA)
            return cv2.resize(image, size[::-1], interpolation=cv2.INTER_LINEAR)

        return apply


class Compression(WithProbability):
    """The blocks of a JPEG of low quality."""

    def __init__(self, prob: float, quality: Tuple[int, int] = (10, 60)):
        """
        Args:
            prob: of doing anything.
            quality: of the JPEG, uniform from the first to the second, 0..100.
        """
        super().__init__()
        self._init(locals())

    def draw(self, size, boxes=None):
        quality = int(np.random.randint(self.quality[0], self.quality[1] + 1))

        def apply(image):
            _, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])
            return cv2.imdecode(data, cv2.IMREAD_COLOR)

        return apply


class SensorNoise(WithProbability):
    """Gaussian noise, the same in all channels."""

    def __init__(self, prob: float, max_sigma: float = 15.0):
        """
        Args:
            prob: of doing anything.
            max_sigma: its standard deviation is uniform from 0 to this, in levels of 0..255.
        """
        super().__init__()
        self._init(locals())

    def draw(self, size, boxes=None):
        sigma = np.random.uniform(0, self.max_sigma)
        # OpenCV's generator is several times faster; its seed is drawn like all else
        rng_seed = int(np.random.randint(2**31))

        def apply(image):
            cv2.setRNGSeed(rng_seed)
            noise = np.empty(size, np.int16)
            cv2.randn(noise, 0, sigma)
            return cv2.add(image, cv2.merge([noise] * 3), dtype=cv2.CV_8U)

        return apply


class Occlusion(WithProbability):
    """Another part of the picture covers part of the target. The box stays that of the whole
    target, as in the annotations of tracking sequences."""

    def __init__(self, prob: float, extent: Tuple[float, float] = (0.2, 0.6)):
        """
        Args:
            prob: of doing anything.
            extent: width and height of what covers, each uniform from the first to the second, in
                sides of the target.
        """
        super().__init__()
        self._init(locals())

    def draw(self, size, boxes):
        x0, y0, x1, y1 = boxes[0]
        limits = np.array(size[::-1])
        sides = np.array([x1 - x0, y1 - y0]) * np.random.uniform(*self.extent, 2)
        sides = np.clip(np.rint(sides), 1, limits).astype(int)
        # its centre is inside the target; it is cut where it leaves the picture
        center = np.array([np.random.uniform(x0, x1), np.random.uniform(y0, y1)])
        to = np.clip(np.rint(center - sides / 2), 0, limits - sides).astype(int)
        source = np.array([np.random.randint(0, m - s + 1) for m, s in zip(limits, sides)])

        def apply(image):
            (w, h), (x, y), (u, v) = sides, to, source
            out = image.copy()
            out[y : y + h, x : x + w] = image[v : v + h, u : u + w]
            return out

        return apply
