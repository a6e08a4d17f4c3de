import pytest
import torch
from torch import nn

from sot.engine.train_loop import CheckedTrainer


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(1, 1)

    def forward(self, pairs):
        return {"loss": self.layer(pairs[0]["x"]).square().mean()}


@pytest.mark.parametrize("spoil", [float("inf"), float("nan")])
def test_a_gradient_that_is_not_finite_stops_before_the_weights_change(spoil):
    net = Net()
    batches = [[{"x": torch.ones(1), "name": f"pair {i}"}] for i in range(4)]
    trainer = CheckedTrainer(net, batches, torch.optim.SGD(net.parameters(), 0.1))
    weights = []  # of each iteration

    def spoil_the_third(gradient):
        weights.append(net.layer.weight.item())
        return gradient * spoil if len(weights) == 3 else gradient

    net.layer.bias.register_hook(spoil_the_third)
    with pytest.raises(FloatingPointError) as error:
        trainer.train(0, 4)
    assert str(error.value) == (
        "the gradients are not finite at iteration 2, while the losses are, for the pairs: pair 2"
    )
    assert len(set(weights)) == 3 and net.layer.weight.item() == weights[2]
    assert torch.isfinite(net.layer.bias).all()
