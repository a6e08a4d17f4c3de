from .siamese import SiameseNetwork
from .siamfc import SiamFC
from .siamrpn import SiamRPN

__all__ = ["SiamFC", "SiamRPN", "SiameseNetwork"]
