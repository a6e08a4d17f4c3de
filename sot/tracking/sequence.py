"""Tracking whole sequences, as a callable that detectron2's inference loop takes for a model."""

import hashlib
import json
import logging
import time
from pathlib import Path
from typing import Dict, List

import numpy as np
import torch

from ..data.frames import FrameError
from .tracker import build_siamese_tracker

__all__ = ["SequenceTracker"]

# what boxes depend on, in the package
CODE = ("tracking/*.py", "modeling/**/*.py", "data/frames.py", "data/transforms.py")


class SequenceTracker:
    """One-pass tracking: started on the first frame's box, then never helped.

    Pass it to ``detectron2.evaluation.inference_on_dataset`` in place of a model.
    """

    def __init__(self, cfg, model):
        """
        Args:
            cfg: config; see build_siamese_tracker.
            model: a SiameseNetwork, possibly wrapped in DistributedDataParallel. It is tracked with
                its weights as they are now.
        """
        if isinstance(model, torch.nn.parallel.DistributedDataParallel):
            model = model.module
        self.model = model
        self.tracker = build_siamese_tracker(cfg, model)
        model_settings = {key: value for key, value in cfg.MODEL.items() if key != "WEIGHTS"}
        self._settings = {"MODEL": model_settings, "INPUT": cfg.INPUT, "TRACKER": cfg.TEST.TRACKER}

    def fingerprint(self) -> str:
        """Changes with all that boxes depend on but the data: weights (wherever they are from),
        settings, and the code of frames, network and tracker."""
        digest = hashlib.sha256(json.dumps(self._settings, sort_keys=True).encode())
        package = Path(__file__).parent.parent
        for pattern in CODE:
            for module in sorted(package.glob(pattern)):
                digest.update(module.read_bytes())
        for name, tensor in self.model.state_dict().items():
            flat = tensor.detach().cpu().contiguous().reshape(-1)
            digest.update(name.encode() + flat.view(torch.uint8).numpy().tobytes())
        return digest.hexdigest()

    def __call__(self, tracks: List[Dict]) -> List[Dict]:
        """
        Args:
            tracks: track dicts; of ``boxes`` only the first is looked at.

        Returns:
            list[dict]: for each track ``name``; ``boxes`` (T, 4), XYXY in frame pixels, the first
            as given; ``scores`` (T,); ``status`` (T strings); ``times`` (T,), seconds for crop,
            network and decoding, without reading the frame; ``skipped``, the frames that
            could not be read: the last box stands in for them, status "skipped". Where tracking
            fails with an error (also if the first frame cannot be read), which is logged: ``name``
            and ``error``, a line of text.
        """
        return [self._try(track) for track in tracks]

    def _try(self, track: Dict) -> Dict:
        try:
            return self._run(track)
        except Exception as e:  # whatever it is, the other sequences can go on
            logging.getLogger(__name__).exception(f"{track['name']}: tracking failed")
            return {"name": track["name"], "error": f"{type(e).__name__}: {e}"}

    def _run(self, track: Dict) -> Dict:
        states, times, skipped = [], [], []
        frames = track["frames"]
        for i in range(len(frames)):
            try:
                image = frames[i]
            except FrameError as e:
                if not states:
                    raise  # nothing to start from
                logging.getLogger(__name__).warning(f"{track['name']}: frame {i} skipped: {e}")
                skipped.append(i)
                states.append(states[-1])
                times.append(0.0)
                continue
            begin = time.perf_counter()
            if not states:
                state = self.tracker.start(image, track["boxes"][0])
            else:
                state = self.tracker.step(image, states[-1])
            times.append(time.perf_counter() - begin)
            states.append(state)
        status = ["skipped" if i in skipped else s.status for i, s in enumerate(states)]
        return {
            "name": track["name"],
            "boxes": np.stack([s.box for s in states]),
            "scores": np.array([s.score for s in states]),
            "status": status,
            "times": np.array(times),
            "skipped": skipped,
        }
