"""Making the demo checkpoint: `python -m mevlip_training.demo.build [FOLDER]`. All is drawn, trained and measured anew.

The base learns to see (`pretraining`); the adapters come from the published configs through what `mevlip data prepare`
and `mevlip train adapters` call, with `overlay.yaml` on top; the router from `demo.router`. Finished stages in the work
folder are not repeated.
"""

from __future__ import annotations

import logging
import os
import shutil
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from mevlip.checkpoints.checkpoint import DEMO_NAME
from mevlip.core.offline import go_offline
from mevlip.tasks import GENERALIST, TaskType, adapter_names
from mevlip_training.demo.wordings import DATASETS
from mevlip_training.llamafactory import CONFIGS

BASE_NAME = "me-vlip/demo-internvl3"
BASE_REVISION = "v2"
NOTICE = "DEMO CHECKPOINT: two million parameters that have learned synthetic pictures; its answers are not medical"
SEED = 4
ROWS = {
    TaskType.CLASSIFICATION: 280,
    TaskType.MULTI_LABEL: 500,
    TaskType.DETECTION: 600,
    TaskType.INSTANCE_DETECTION: 900,
    TaskType.COUNTING: 900,
    TaskType.REGRESSION: 500,
    TaskType.REPORT: 900,
}
"""Training questions of each data set, by its task."""
STEPS: dict[str, int] = {GENERALIST: 3000, TaskType.INSTANCE_DETECTION: 1800}
"""Steps of eight rows for the two adapters that have most to learn."""
STEPS_OF_OTHERS = 700

_OVERLAY = Path(__file__).with_name("overlay.yaml")
logger = logging.getLogger(__name__)


def build(folder: Path, work: Path) -> None:
    """Writes the demo checkpoint and prints what it has learned. Seeded, offline; about 80 minutes on two cores.

    Args:
        folder: The checkpoint folder; replaced at the very end.
        work: Where the stages are kept.
    """
    import torch

    from mevlip_training.adapters import train_adapters
    from mevlip_training.assembly import assemble
    from mevlip_training.demo.evaluation import evaluate
    from mevlip_training.demo.inputs import write_training
    from mevlip_training.demo.pairs import training_pairs
    from mevlip_training.demo.pretraining import build_base
    from mevlip_training.demo.router import build_router
    from mevlip_training.runs import plan_run, read_yaml
    from mevlip_validation.ablation import render

    torch.set_num_threads(2)  # sums in another order would give other weights
    base, data, router = work / "base", work / "data", work / "router"
    with _stage("base", base):
        if not (base / "model.safetensors").is_file():
            build_base(base, [question for question, _ in training_pairs(4000, seed=1)])
    with _stage("data", data):
        if not data.is_dir():
            write_training(work / "flare" / "training", SEED, {one.name: ROWS[one.task] for one in DATASETS})
            _prepare(work / "flare", data, base)
    with _stage("adapters", work / "runs"):
        overlay = read_yaml(_OVERLAY)
        steps = {name: {"max_steps": STEPS.get(name, STEPS_OF_OTHERS)} for name in adapter_names()}
        runs = [plan_run(name, CONFIGS, data, work / "runs", overlay | some, str(base)) for name, some in steps.items()]
        # Two trainings of one thread each take half as long as one after another with two threads.
        os.environ["OMP_NUM_THREADS"] = "1"
        with ThreadPoolExecutor(2) as pool:
            for _ in pool.map(lambda run: train_adapters([run], work / "adapters", quiet=True), runs):
                pass
    with _stage("router", router):
        if not router.is_dir():
            build_router(router)
    draft = work / DEMO_NAME
    shutil.rmtree(draft, ignore_errors=True)
    made = assemble(
        draft, base=base, adapters=work / "adapters", router=router, name=DEMO_NAME, kind="demo", notice=NOTICE
    )
    with _stage("evaluation", work / "evaluation"):
        print(render(evaluate(draft, work / "evaluation")))  # noqa: T201 - a command's result
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(draft, folder)
    logger.info("%s: %d files, %.2f MB", folder, len(made.manifest.files), made.manifest.size / 1e6)


def _prepare(flare: Path, data: Path, base: Path) -> None:
    from mevlip_training.data.prepare import Choices, prepare

    prepare(flare, data, Choices(tokenizer=base, base_model=BASE_NAME, base_revision=BASE_REVISION))


@contextmanager
def _stage(name: str, place: Path) -> Iterator[None]:
    logger.info("%s: %s", name, place)
    start = time.perf_counter()
    yield
    logger.info("%s: done in %.0f s", name, time.perf_counter() - start)


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    go_offline()
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else Path("checkpoints") / DEMO_NAME
    build(target, Path("build") / "demo-checkpoint")
