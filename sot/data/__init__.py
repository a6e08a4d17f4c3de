from . import datasets as _  # registers the built-in names
from .build import PairLoader, build_siamese_test_loader, build_siamese_train_loader
from .catalog import get_tracks, resolve
from .dataset_mapper import SiameseDatasetMapper
from .pair_dataset import PairDataset
from .transforms import SubwindowTransform, TargetCrop

__all__ = [
    "PairDataset",
    "PairLoader",
    "SiameseDatasetMapper",
    "SubwindowTransform",
    "TargetCrop",
    "build_siamese_test_loader",
    "build_siamese_train_loader",
    "get_tracks",
    "resolve",
]
