"""Builds the tracker of a config."""

from fvcore.common.registry import Registry

from ..deploy import inference_network

TRACKER_REGISTRY = Registry("TRACKER")
TRACKER_REGISTRY.__doc__ = """
Trackers by name, which is the name of their meta-architecture and "Tracker". An entry is called
with a config and the network, and returns a SiameseTracker. """


def build_siamese_tracker(cfg, model):
    """Build the tracker of MODEL.META_ARCHITECTURE. It has a copy of the network made for
    inference, so later changes of the network do not affect it.

    Raises:
        ValueError: this meta-architecture has no tracker; see also inference_network.
    """
    name = cfg.MODEL.META_ARCHITECTURE + "Tracker"
    if name not in TRACKER_REGISTRY:
        known = ", ".join(sorted(n for n, _ in TRACKER_REGISTRY))
        raise ValueError(f"no {name} for MODEL.META_ARCHITECTURE; registered trackers: {known}")
    return TRACKER_REGISTRY.get(name)(cfg, inference_network(cfg, model))
