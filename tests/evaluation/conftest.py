import pytest
from detectron2.data import DatasetCatalog, MetadataCatalog


@pytest.fixture
def register():
    """Registers tracks as the dataset "tiny", until the test is over."""

    def register(*tracks, **metadata):
        DatasetCatalog.register("tiny", lambda: list(tracks))
        MetadataCatalog.get("tiny").set(**metadata)

    yield register
    DatasetCatalog.remove("tiny")
    MetadataCatalog.pop("tiny", None)
