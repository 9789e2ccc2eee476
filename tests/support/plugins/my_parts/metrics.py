import torch

from gan_bench.metrics.measures.base import Estimate, FeatureMetric


class Brightness(FeatureMetric):
    """Mean of all features."""

    gives = ("brightness",)

    def __init__(self, setup):
        super().__init__(setup)
        self.add_state("total", torch.zeros((), dtype=torch.float64), dist_reduce_fx="sum")

    def update(self, features, logits):
        self.total += features.double().mean(1).sum()

    def compute(self):
        return {"brightness": Estimate(float(self.total) / self.setup.samples)}
