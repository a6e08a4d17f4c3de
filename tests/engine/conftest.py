import pytest
from training_runs import train, write_sequences

from sot.config import load_config


@pytest.fixture(scope="session")
def square_on_noise(tmp_path_factory):
    """Folder of one sequence of a bright square on noise."""
    root = tmp_path_factory.mktemp("sequences")
    write_sequences(root, a=6)
    return root


@pytest.fixture
def tiny_run(square_on_noise, tmp_path):
    """Function of the name of a folder for the output and of options: trains a small network
    for 6 iterations with a checkpoint every 3, and returns the losses and the trainer."""

    def run(name, *opts, stop_at=None, resume=False):
        data = f"folder:{square_on_noise}"
        base = [
            *("DATASETS.TRAIN", (data,), "DATASETS.TEST", (data,), "MODEL.DEVICE", "cpu"),
            *("OUTPUT_DIR", str(tmp_path / name), "SOLVER.AMP.ENABLED", False),
            *("SOLVER.MAX_ITER", 6, "SOLVER.IMS_PER_BATCH", 2, "SOLVER.CHECKPOINT_PERIOD", 3),
            *("TEST.EVAL_PERIOD", 0, "INPUT.SEARCH_SIZE_TRAIN", 159, "MODEL.COMPACT.NUM_BLOCKS", 1),
            *("MODEL.COMPACT.CHANNELS", [4, 4, 8, 8], "MODEL.SIAMESE.HEAD_CHANNELS", 8),
        ]
        cfg = load_config("quick_schedules/siamrpn_compact_instant_test.yaml", [*base, *opts])
        return train(cfg, resume, stop_at)

    return run
