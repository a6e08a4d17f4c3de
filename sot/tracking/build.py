"""The tracker of a config."""

from fvcore.common.registry import Registry

from ..deploy import inference_network

TRACKER_REGISTRY = Registry("TRACKER")
TRACKER_REGISTRY.__doc__ = """
Trackers by name: that of the meta-architecture they run, and "Tracker". Called with a config and
the network; returns a SiameseTracker.
"""


def build_siamese_tracker(cfg, model):
    """The tracker of MODEL.META_ARCHITECTURE, with a copy of a network made for inference: what
    becomes of the network later does not change the tracker.

    Raises:
        ValueError: there is none for it; or see inference_network.
    """
    name = cfg.MODEL.META_ARCHITECTURE + "Tracker"
    if name not in TRACKER_REGISTRY:
        known = ", ".join(sorted(n for n, _ in TRACKER_REGISTRY))
        raise ValueError(f"no {name} for MODEL.META_ARCHITECTURE; registered trackers: {known}")
    return TRACKER_REGISTRY.get(name)(cfg, inference_network(cfg, model))
