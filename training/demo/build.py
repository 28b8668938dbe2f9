"""Building the demo checkpoint: `python -m training.demo.build FOLDER`."""

from __future__ import annotations

import logging
import shutil
import sys
from pathlib import Path

from submission.checkpoint import DEMO_NAME, BaseModelRecord, open_checkpoint, write_manifest
from submission.offline import go_offline

BASE_NAME = "me-vlip/demo-internvl3"
BASE_REVISION = "v0"
NOTICE = "DEMO CHECKPOINT: its answers are not medical (base and adapters are untrained, only the router has learned)"


def build(folder: Path) -> None:
    """Writes the demo checkpoint: base, adapters, router, manifest. Seeded, offline, a few minutes on two cores."""
    import torch

    from training.demo.adapters import build_adapters
    from training.demo.base import build_base
    from training.demo.pairs import training_pairs
    from training.demo.router import build_router

    torch.set_num_threads(2)  # sums in another order would give other weights
    if folder.exists():
        shutil.rmtree(folder)
    build_base(folder / "base", [question for question, _ in training_pairs(4000, seed=1)])
    build_adapters(folder / "base", folder / "adapters", name=BASE_NAME, revision=BASE_REVISION)
    build_router(folder / "router")
    record = BaseModelRecord(name=BASE_NAME, revision=BASE_REVISION)
    manifest = write_manifest(folder, name=DEMO_NAME, kind="demo", notice=NOTICE, base=record)
    open_checkpoint(folder)
    logging.getLogger(__name__).info("%s: %d files, %.2f MB", folder, len(manifest.files), manifest.size / 1e6)


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    go_offline()
    build(Path(sys.argv[1]) if len(sys.argv) > 1 else Path("checkpoints") / DEMO_NAME)
