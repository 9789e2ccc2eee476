"""Run contexts of a worker: what a site says becomes images, extractors and a device, once for all its jobs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch

from gan_bench.config.data_root import DataRoot
from gan_bench.config.plugins import load_plugin
from gan_bench.data.own_images import register_folder
from gan_bench.execution.context import RunContext
from gan_bench.execution.environment import choose_device, fix_bits
from gan_bench.execution.events import Notify, ignore_preparation
from gan_bench.execution.job import Site
from gan_bench.records.layout import RecordDirectory


class Contexts:
    """Run contexts by what they depend on.

    Args:
        stop: Says whether to stop at the next step.
        notify: Receives what is being prepared.
        saved: Called after every checkpoint with the record it is of.
    """

    def __init__(
        self,
        stop: Callable[[], bool],
        notify: Notify = ignore_preparation,
        saved: Callable[[RecordDirectory], None] = lambda _: None,
    ) -> None:
        self._stop, self._notify, self._saved = stop, notify, saved
        self._made: dict[tuple[object, ...], RunContext] = {}

    def of(self, site: Site) -> RunContext:
        """Return the context of a site, whose own parts are registered by then.

        Raises:
            UserError: The device does not exist, or a plug-in is not there or not what it was.
        """
        key = (site.data, site.data_given, site.device, site.engine, site.threads)
        if key not in self._made:
            if site.threads:
                torch.set_num_threads(site.threads)
            device = choose_device(site.device)
            fix_bits(device)
            root = DataRoot(site.data, site.data_given)
            self._made[key] = RunContext(root, device, self._stop, site.engine, self._notify, self._saved)
        for folder in site.folders:
            register_folder(folder)
        for source in site.plugins:
            load_plugin(Path(str(source.path)), source.sha256)
        return self._made[key]
