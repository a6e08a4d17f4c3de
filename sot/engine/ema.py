"""Exponential moving average of the weights over the iterations."""

import torch
from detectron2.engine import HookBase
from torch import nn
from torch.optim import swa_utils


class WeightAverage(swa_utils.AveragedModel):
    """The moving average of all parameters and norm statistics, for evaluation. After each
    iteration ``average <- d * average + (1 - d) * weights``, with
    ``d = min(decay, (1 + t) / (10 + t))``, where ``t`` iterations have been averaged before. So a
    short run forgets its first weights, too: d is 0.18, 0.25, ..., 0.9 after 80 iterations and 0.99
    after 890.

    A checkpoint holds the ``state_dict`` of the average as "ema", beside the weights as "model".

    Attributes:
        module: a copy of the model with the averaged weights, in evaluation mode.
    """

    def __init__(self, model: nn.Module, decay: float):
        """
        Args:
            model: the model, not wrapped in DistributedDataParallel.
            decay: d after many iterations. With 0.999 the last 1,000 iterations have 63 % of the
                weight.

        Raises:
            ValueError: ``decay`` is not at least 0 and below 1.
        """
        if not 0 <= decay < 1:
            raise ValueError(f"SOLVER.EMA.DECAY must be at least 0 and below 1, it is {decay}")
        super().__init__(model, avg_fn=self._average, use_buffers=True)
        self.decay = decay
        self.eval().requires_grad_(False)

    def _average(self, averaged, current, _):
        if not averaged.is_floating_point():  # a counter
            return current
        t = int(self.n_averaged)  # on the CPU: does not wait for a GPU, unlike the argument
        return torch.lerp(averaged, current, 1 - min(self.decay, (1 + t) / (10 + t)))


class AverageWeights(HookBase):
    """Adds the weights after each iteration to a :class:`WeightAverage`."""

    def __init__(self, average: WeightAverage, model: nn.Module):
        self.average, self.model = average, model

    def after_step(self):
        self.average.update_parameters(self.model)
