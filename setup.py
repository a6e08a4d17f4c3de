#!/usr/bin/env python
import re
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from setuptools import find_packages, setup

(VERSION,) = re.findall(
    r'^__version__ = "(.*)"$',
    Path(__file__).with_name("sot").joinpath("__init__.py").read_text(encoding="utf-8"),
    re.MULTILINE,
)

OPENCV_PACKAGES = (
    "opencv-python",
    "opencv-contrib-python",
    "opencv-python-headless",
    "opencv-contrib-python-headless",
)


def opencv_requirement():
    """All OpenCV packages provide the same module `cv2` and a requirement cannot say "any of them":
    ask for the one that is there, else for the one that needs no graphics libraries.
    """
    for name in OPENCV_PACKAGES:
        try:
            distribution(name)
        except PackageNotFoundError:
            continue
        return f"{name}>=4.5"
    return "opencv-python-headless>=4.5"


setup(
    name="sot",
    version=VERSION,
    description="Single-object tracking with Siamese networks, on detectron2",
    license="Apache-2.0",
    python_requires=">=3.9",
    classifiers=[f"Programming Language :: Python :: 3.{minor}" for minor in range(9, 15)],
    # configs/ and weights/ lie beside the package here and inside it once installed.
    packages=[*find_packages(include=["sot", "sot.*"]), "sot.configs", "sot.weights"],
    package_dir={"sot.configs": "configs", "sot.weights": "weights"},
    package_data={
        "sot": ["py.typed"],
        "sot.data.datasets": ["lists/*.txt"],
        "sot.configs": ["*.yaml", "*/*.yaml"],
        "sot.weights": ["*.pth", "*.json"],
        "sot.deploy": ["graphs/*/*"],
        "sot.evaluation.report": ["*.html.j2", "*.csv"],
    },
    # Minimum versions only; requirements.txt records versions known to work together.
    # detectron2 is not listed: the package index has no release under that name (INSTALL.md).
    install_requires=[
        "torch>=2.1",
        "torchvision>=0.16",
        "numpy>=1.22",
        opencv_requirement(),
        "av>=14.2",
        "fvcore>=0.1.5",
        "iopath>=0.1.7",
        "jinja2>=3.0",
        "pycocotools>=2.0.2",
        "tqdm>=4.60",
    ],
    extras_require={
        # for the export of networks, and TEST.TRACKER.ENGINE onnxruntime
        "onnx": ["onnx", "onnxscript", "onnxruntime"],
        # for TEST.TRACKER.ENGINE openvino
        "openvino": ["openvino>=2024.0"],
        # for demo/app.py
        "app": ["gradio>=5"],
        # for tools/tune_tracker.py
        "tune": ["optuna>=4"],
        # for `make docs`
        "docs": ["mkdocs>=1.6", "mkdocs-material>=9.5", "mkdocstrings[python]>=0.26"],
    },
)
