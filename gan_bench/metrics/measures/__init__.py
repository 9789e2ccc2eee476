"""The measures as torchmetrics metrics over features and logits: ``update``, ``compute``, ``reset``.

Importing torchmetrics takes seconds, so these modules are imported when the first evaluation starts and not before.
The arithmetic is in ``gan_bench.metrics.distances`` and ``gan_bench.metrics.neighbours``; here is what accumulates.
States are float64, and nothing draws from torch's global generator. To add a measure, derive a class from
``base.FeatureMetric`` and register it in ``gan_bench.config.measures``.
"""
