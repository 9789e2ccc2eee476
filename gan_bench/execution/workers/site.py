"""Where trials run: what a worker must know to prepare the place, and the run contexts that come of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from gan_bench.config.data_root import DataRoot
from gan_bench.config.image_folder import ImageFolder
from gan_bench.config.plugins import load_plugin
from gan_bench.core.sources import Source
from gan_bench.data.own_images import register_folder
from gan_bench.execution.trial.context import RunContext
from gan_bench.execution.trial.environment import choose_device, fix_bits


@dataclass(frozen=True, kw_only=True)
class Site:
    """What a worker must know to prepare the place where trials run.

    Attributes:
        data: The data folder.
        data_given: Whether the user named it, so that it is only read.
        device: Where to run.
        engine: Training engine.
        threads: CPU threads of one operation, or None for torch's own choice.
        folders: The user's own folders of images.
        plugins: The user's own files of parts, which may run.
    """

    data: Path
    data_given: bool
    device: str
    engine: str
    threads: int | None
    folders: tuple[ImageFolder, ...] = ()
    plugins: tuple[Source, ...] = ()

    def to_json(self) -> dict[str, object]:
        """Return the site as a JSON-able dict."""
        return {
            **{name: getattr(self, name) for name in ("data_given", "device", "engine", "threads")},
            "data": str(self.data.resolve()),
            "folders": [folder.to_json() for folder in self.folders],
            "plugins": [source.to_json() for source in self.plugins],
        }

    @classmethod
    def from_json(cls, plain: Mapping[str, Any]) -> Site:
        """Build the site that ``to_json`` described."""
        return cls(
            **{
                **plain,
                "data": Path(plain["data"]),
                "folders": tuple(ImageFolder.from_json(folder) for folder in plain["folders"]),
                "plugins": tuple(Source(**source) for source in plain["plugins"]),
            }
        )


class Contexts:
    """Run contexts by what they depend on.

    Args:
        stop: Says whether to stop at the next step.
    """

    def __init__(
        self,
        stop: Callable[[], bool],
    ) -> None:
        self._stop = stop
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
            self._made[key] = RunContext(root, device, self._stop, site.engine)
        for folder in site.folders:
            register_folder(folder)
        for source in site.plugins:
            load_plugin(Path(str(source.path)), source.sha256)
        return self._made[key]
