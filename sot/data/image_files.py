"""Image files: lists those of a folder, and reads their pixels."""

import io
import os
import re
import warnings
from pathlib import Path
from typing import List, Tuple

import cv2
import numpy as np
from PIL import Image

from .decoding import FrameError, to_uint8

IMAGE_SUFFIXES = tuple(
    ".jpg .jpeg .jpe .jfif .png .bmp .dib .webp .tif .tiff .pbm .pgm .ppm .pnm .jp2 .avif".split()
)
SMALL_JPEG = 500_000  # bytes, in which there is no room for too many pixels
JPEG_START, JPEG_END, JPEG_SCAN = b"\xff\xd8", b"\xff\xd9", b"\xda"
JPEG_HEAD = 1 << 16  # bytes, in which the EXIF data are


def read_image(path) -> np.ndarray:
    """Read an image file as (H, W, 3) uint8 BGR. Files that are gray, have 4 channels or have 16
    bits are converted. Photographs are turned upright by their EXIF tag, as in detectron2.
    FrameError: the file is missing or does not decode, for example because it is cut off."""
    return read_file(path, 1, False)[0]


# libjpeg's reduced inverse transforms give the means of 2x2, 4x4 and 8x8 pixels
_FLAGS = {
    1: (cv2.IMREAD_COLOR, cv2.IMREAD_GRAYSCALE),
    2: (cv2.IMREAD_REDUCED_COLOR_2, cv2.IMREAD_REDUCED_GRAYSCALE_2),
    4: (cv2.IMREAD_REDUCED_COLOR_4, cv2.IMREAD_REDUCED_GRAYSCALE_4),
    8: (cv2.IMREAD_REDUCED_COLOR_8, cv2.IMREAD_REDUCED_GRAYSCALE_8),
}


def read_file(path, max_reduction: float, gray: bool) -> Tuple[np.ndarray, int]:
    """See :func:`.frames.read_frame`."""
    try:
        data = Path(path).read_bytes()
    except OSError as e:
        problem = f"cannot be read: {e.strerror}" if os.path.exists(path) else "is missing"
        raise FrameError(f"image {path} {problem}") from None
    is_jpeg, reduction = data.startswith(JPEG_START), 1
    if not is_jpeg or len(data) > SMALL_JPEG:
        _check_size(path, data)
    ends = not is_jpeg or data.endswith(JPEG_END) or _has_jpeg_end(data)
    if not ends:  # OpenCV needs an end marker, and fills missing data before it with gray
        data = data.rstrip(b"\0") + JPEG_END
    # Only a JPEG takes less time to decode at a reduced size. One with EXIF data is not reduced: it
    # may be turned about a corner that is not on the grid of the reduced pixels.
    if is_jpeg and b"Exif" not in data[:JPEG_HEAD]:
        reduction = max(r for r in _FLAGS if r <= max_reduction)
    # 16 bits stay: to_uint8 knows better than OpenCV, which drops the lower half
    flags = _FLAGS[reduction][gray] | (cv2.IMREAD_ANYDEPTH if reduction == 1 else 0)
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    except cv2.error:
        image = None
    if image is None:
        image, reduction = _read_numbers(path, data, gray), 1
    if not ends and _has_gray_corner(image):
        raise FrameError(f"image {path} does not decode: it is cut off")
    return to_uint8(image), reduction


def _has_jpeg_end(data: bytes) -> bool:
    """Whether the picture of a JPEG file has its end marker. Anything may follow it, such as zeros
    or the film of a motion photo. A thumbnail in the segments before the picture has an end marker
    of its own, which does not count."""
    at = 2
    while (at := data.find(b"\xff", at)) >= 0:
        marker = data[at + 1 : at + 2]
        if marker == JPEG_SCAN:  # within the scan, the bytes FF D9 can only be the end marker
            return data.find(JPEG_END, at) >= 0
        length = int.from_bytes(data[at + 2 : at + 4], "big")
        at += 1 if marker == b"\xff" else 2 + length  # bytes FF may fill the space before a marker
    return False


def _read_numbers(path, data: bytes, gray: bool) -> np.ndarray:
    """Read an image of 32-bit numbers in one channel (TIFF files of measuring cameras), which
    OpenCV does not turn into a picture. FrameError: it is another image."""
    try:
        with Image.open(io.BytesIO(data)) as opened:
            values = np.asarray(opened) if opened.mode in ("I", "F") else None
    except Exception:  # PIL raises many kinds; OpenCV has refused the file already
        values = None
    if values is None:
        raise FrameError(f"image {path} does not decode")
    values = to_uint8(values)
    return values if gray else cv2.cvtColor(values, cv2.COLOR_GRAY2BGR)


def _check_size(path, data: bytes) -> None:
    """FrameError: the picture has so many pixels that decoding it may take all memory."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            Image.open(io.BytesIO(data)).close()
    except Image.DecompressionBombError:
        limit = 2 * Image.MAX_IMAGE_PIXELS // 10**6
        raise FrameError(f"image {path} has more than {limit} million pixels") from None
    except Exception:  # PIL cannot read it; OpenCV may, or will name the fault
        pass


def _has_gray_corner(image: np.ndarray) -> bool:
    """Whether the last pixels, wherever the EXIF tag has turned them, are libjpeg's filling."""
    ends = slice(4), slice(-4, None)
    return any((image[y, x] == 128).all() for y in ends for x in ends)


def natural_key(path: str):
    """Sort key that puts 2.jpg before 10.jpg."""
    return [int(t) if t.isdecimal() else t for t in re.split(r"(\d+)", path)]


def list_images(folder) -> List[str]:
    """Image files of a folder in natural order (2.jpg before 10.jpg)."""
    return list_files(folder, IMAGE_SUFFIXES)


def list_files(folder, suffixes) -> List[str]:
    """Files in natural order. Hidden files are left out (macOS writes a ._NAME beside each NAME),
    and so is anything that is no regular file, such as a FIFO."""
    with os.scandir(folder) as entries:
        files = [
            e.path
            for e in entries
            if e.name.lower().endswith(suffixes) and e.name[0] != "." and e.is_file()
        ]
    return sorted(files, key=natural_key)
