from .siamese import SiameseNetwork
from .siamrpn import SiamRPN

__all__ = ["SiamRPN", "SiameseNetwork"]
