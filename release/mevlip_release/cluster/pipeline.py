"""Shards of one input folder, answered by a pool of Ray actors that hold one predictor each, and merged.

Every node sees the input and the output folder at the same paths. Each shard has an output folder and a journal of its
own, so that what a killed actor had answered is there for the next one.
"""

from __future__ import annotations

import logging
import os
import shutil
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from mevlip.core import logs
from mevlip.core.errors import EnvironmentProblem, MevlipError, ModelFailure, describe
from mevlip.flare.questions import InputFolder, read_input_folder
from mevlip.flare.shards import Shard
from mevlip.predictor import Predictor
from mevlip.runs.folder import run_folder, run_identity
from mevlip.runs.merging import Merged, merge_shards, read_shard
from mevlip.runs.output import OWN_PREFIX, output_folder
from mevlip.settings import RunSettings
from mevlip_release.cluster.inputs import copy_input, is_address
from mevlip_release.cluster.packages import required

logger = logging.getLogger(__name__)

WORK_NAME = f"{OWN_PREFIX}cluster"
"""Folder in the output folder for shards and a copied input; removed once the shards are merged."""

_CPUS = 1
_OBJECTS = 100 << 20  # bytes of Ray's object store; no picture passes through it


@dataclass(frozen=True)
class Pool:
    """Actors, and where they run.

    Attributes:
        address: The Ray cluster; None starts one on this machine, for this run.
        actors: How many there are; None for as many as fit.
        gpus: GPUs of each, also a part of one; None for one where the cluster has any.
        retries: How often an actor that died is started again, and a shard asked again.
        patience: Seconds to wait for actors whose place other jobs hold.
    """

    address: str | None = None
    actors: int | None = None
    gpus: float | None = None
    retries: int = 3
    patience: int = 600


class ShardAnswerer:
    """What an actor does: it loads one predictor and answers shards with it.

    Args:
        find: Makes the predictor.
    """

    def __init__(self, find: Callable[[], Predictor]) -> None:
        logs.start()
        logs.only_warnings()
        self._find = find

    @cached_property
    def _predictor(self) -> Predictor:
        return self._find()

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        """Answers the shard of a row, unless an actor that died afterwards had finished it."""
        settings = RunSettings.model_validate_json(row["settings"])
        start = time.perf_counter()
        done = {"shard": settings.shard, "answers": 0, "resumed": 0, "error": "", "cause": "", "remedy": ""}
        try:
            folder = read_input_folder(settings.input, settings.output)
            if not _is_finished(self._predictor, settings, folder):
                report = run_folder(self._predictor, settings, quiet=True, folder=folder)
                done |= {"answers": len(report.answers), "resumed": report.resumed}
        except MevlipError as error:
            done |= {"error": type(error).__name__, "cause": error.cause, "remedy": error.remedy}
        return done | {"seconds": time.perf_counter() - start}


def _is_finished(predictor: Predictor, settings: RunSettings, folder: InputFolder) -> bool:
    """Whether a shard's output folder holds what its run would write."""
    try:
        record = read_shard(settings.output)
    except ValueError:
        return False
    return record.fits(run_identity(predictor, settings), folder.questions)


def predict_on_cluster(
    find: Callable[[], Predictor], settings: RunSettings, source: str, shards: int, pool: Pool, quiet: bool = True
) -> Merged:
    """Answers every question of an input on a cluster and writes the predictions.json that one run would write.

    Args:
        find: Makes a predictor; it is called here and in every actor.
        settings: How to answer, and the output folder; its input is ignored.
        source: The input folder, or an address that is copied first.
        shards: How many parts the questions are divided into.
        pool: The actors.
        quiet: Whether to show no progress.

    Raises:
        EnvironmentProblem: Ray is not installed, the cluster has no place for the actors, or a folder cannot be used.
        ModelFailure: Actors died more often than they may.
        MevlipError: What a shard's run raised; finished answers are kept for the next run.
    """
    with output_folder(settings.output):
        work = settings.output.resolve() / WORK_NAME
        root = copy_input(source, work / "input", quiet) if is_address(source) else Path(source).resolve()
        folder = read_input_folder(root, settings.output)
        predictor = find()  # an error in the checkpoint shows before a cluster starts
        parts = [
            settings.model_copy(
                update={"input": root, "output": work / f"{number}-of-{shards}", "shard": str(Shard(number, shards))}
            )
            for number in range(1, shards + 1)
        ]
        waiting = [part for part in parts if not _is_finished(predictor, part, folder)]
        logger.info("%d questions in %d shards, %d of them to be answered", len(folder.questions), shards, len(waiting))
        if waiting:
            for row in _answer(find, waiting, pool):
                _check(row)
                logger.info(
                    "shard %s: %d answers, %d of them from an earlier run, %.1f s",
                    *(row[name] for name in ("shard", "answers", "resumed", "seconds")),
                )
        merged = merge_shards([part.output for part in parts], folder, settings.output)
        shutil.rmtree(work)
    return merged


def _check(row: Mapping[str, Any]) -> None:
    """Raises the error of a shard's run as the actor met it."""
    if row["error"]:
        kinds = {kind.__name__: kind for kind in MevlipError.__subclasses__()}
        kind = kinds.get(row["error"], EnvironmentProblem)
        raise kind(f"shard {row['shard']}: {row['cause']}", row["remedy"])


def _answer(find: Callable[[], Predictor], parts: Iterable[RunSettings], pool: Pool) -> Iterator[dict[str, Any]]:
    """Yields what became of each shard, as they finish."""
    rows = [{"settings": part.model_dump_json()} for part in parts]
    with _ray(pool.address) as ray:
        from ray import data

        gpus, actors = place_actors(ray.nodes(), pool, len(rows))
        logger.info("%d actors with %g GPUs each", actors, gpus)
        context = data.DataContext.get_current()
        context.enable_progress_bars = False
        context.print_on_execution_start = False
        context.execution_no_progress_timeout_s = -1  # a shard may take hours
        context.wait_for_min_actors_s = pool.patience
        logging.getLogger("ray.data").setLevel(logging.ERROR)
        restarts = {"max_restarts": pool.retries, "max_task_retries": pool.retries}
        answered = data.from_items(rows, override_num_blocks=len(rows)).map(
            ShardAnswerer,
            fn_constructor_args=(find,),
            compute=data.ActorPoolStrategy(size=actors, max_tasks_in_flight_per_actor=1),
            num_cpus=_CPUS,
            num_gpus=gpus,
            ray_remote_args_fn=lambda: restarts,
        )
        try:
            yield from answered.iter_rows()
        except ray.exceptions.GetTimeoutError as error:
            raise EnvironmentProblem(
                f"The cluster did not start {actors} actors with {gpus:g} GPUs and {_CPUS} CPU each in "
                f"{pool.patience} s; other jobs hold its places",
                "Wait until they have ended, or name fewer with --actors.",
            ) from error
        except ray.exceptions.RayError as error:
            raise ModelFailure(
                f"An actor broke, or died more than {pool.retries} times ({describe(error)})",
                "Look for its cause in the lines above, then run the same command again: finished answers are kept.",
            ) from error


@contextmanager
def _ray(address: str | None) -> Iterator[Any]:
    """Connects to a cluster, or starts one on this machine that ends with the block."""
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"  # before the import: nothing is sent anywhere
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "1")  # no GPU asked for: none seen
    with required("ray"):
        import ray
        import ray.data
    warnings.simplefilter("ignore")  # Ray switches its own on
    local: dict[str, Any] = {"include_dashboard": False, "object_store_memory": _OBJECTS} if address is None else {}
    try:
        ray.init(address or "local", configure_logging=False, **local)
    except (ConnectionError, RuntimeError, ValueError, OSError) as error:
        raise EnvironmentProblem(
            f"The Ray cluster {address or 'on this machine'} cannot be used ({describe(error)})",
            "Name a running cluster with --address, or none to start one here.",
        ) from error
    try:
        yield ray
    finally:
        ray.shutdown()


def place_actors(nodes: Iterable[Mapping[str, Any]], pool: Pool, shards: int) -> tuple[float, int]:
    """Decides how many GPUs an actor has and how many actors there are.

    Args:
        nodes: The cluster's nodes, as `ray.nodes()` lists them.
        pool: What is asked for.
        shards: How many shards there are to answer; more actors would have nothing to do.

    Returns:
        GPUs of each actor, and the number of actors.

    Raises:
        EnvironmentProblem: They do not fit; Ray itself would wait for a place without a word.
    """
    resources = [node["Resources"] for node in nodes if node["Alive"]]
    total = sum(node.get("GPU", 0) for node in resources)
    gpus = pool.gpus if pool.gpus is not None else float(total > 0)
    room = sum(_room(node, gpus) for node in resources)
    actors = min(pool.actors if pool.actors is not None else max(room, 1), shards)
    if actors > room:
        cpus = sum(node.get("CPU", 0) for node in resources)
        raise EnvironmentProblem(
            f"{actors} actors with {gpus:g} GPUs and {_CPUS} CPU each do not fit: the cluster has {total:g} GPUs and "
            f"{cpus:g} CPUs on {len(resources)} nodes, room for {room}",
            f"Name {f'--actors {room} or ' if room else ''}smaller --gpus (0: CPU only), or add nodes.",
        )
    return gpus, actors


def _room(resources: Mapping[str, float], gpus: float) -> int:
    """How many actors fit on a node; a part of a GPU is a part of one device."""
    by_cpu = int(resources.get("CPU", 0) // _CPUS)
    devices = int(resources.get("GPU", 0))
    if gpus == 0:
        return by_cpu
    return min(by_cpu, devices * int(1 / gpus) if gpus < 1 else int(devices // gpus))
