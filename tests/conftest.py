import os
import warnings

import matplotlib
import numpy as np
import pytest
import torch

# detectron2 0.6 scripts a function at import, which newer torch calls deprecated
warnings.filterwarnings("ignore", message=".*torch.jit.script.*")


@pytest.fixture(autouse=True, scope="session")
def _own_cache(tmp_path_factory):
    """Tests leave the user's cache of data set indexes alone."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MPLCONFIGDIR", matplotlib.get_cachedir())  # its list of fonts takes long
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(autouse=True)
def _seed_and_threads():
    torch.manual_seed(0)
    np.random.seed(0)
    # `make test` has two processes
    torch.set_num_threads(1 if "PYTEST_XDIST_WORKER" in os.environ else 2)
