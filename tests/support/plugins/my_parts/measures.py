"""What a report must know of the measure; its class is imported when scores are taken."""

from gan_bench.config.measures import Measure

BRIGHTNESS = Measure(
    title="brightness",
    lower_is_better=False,
    description="mean of all features",
    metric="my_parts.metrics:Brightness",
    roles=frozenset({"quality", "summary"}),
)
