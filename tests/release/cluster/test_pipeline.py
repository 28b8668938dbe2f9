"""Shards on Ray actors, for real: the same bytes as one run, also where actors are killed."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from mevlip.core.errors import CheckpointError, EnvironmentProblem, ModelFailure
from mevlip.predictor import Predictor
from mevlip.settings import PredictorSettings, RunSettings
from mevlip_release.cluster import pipeline
from mevlip_release.cluster.cli import cluster
from mevlip_release.cluster.pipeline import Pool, place_actors, predict_on_cluster
from tests.conftest import DEMO, FakeModel, answer_folder, copy_two_examples

Find = Callable[[], Predictor]


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two of the example's data sets."""
    return copy_two_examples(tmp_path_factory.mktemp("inputs"))


@pytest.fixture(scope="module")
def whole(inputs: Path, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The predictions of one run."""
    return answer_folder(inputs, tmp_path_factory.mktemp("whole"), batch_tokens=1).predictions.read_bytes()


def settings(output: Path, **options: Any) -> RunSettings:
    return RunSettings(input=Path(), output=output, batch_tokens=1, **options)


def healthy() -> Find:
    def find() -> Predictor:
        return Predictor.find(PredictorSettings(checkpoint=checkpoint))

    checkpoint = str(DEMO)
    return find


def deadly(mark: Path, calls: int, fake: bool = False) -> Find:
    """A predictor whose process is killed, as by the kernel, when the model is asked for the n-th time.

    Args:
        mark: A file that is written then; where it is there, nobody is killed.
        calls: How many questions are answered before that.
        fake: Whether a stand-in answers, which is loaded in no time.
    """
    checkpoint = str(DEMO)

    def find() -> Predictor:
        import os
        import signal

        from mevlip.predictor import Predictor, load_model
        from mevlip.settings import PredictorSettings
        from tests.conftest import FakeModel

        def load(*arguments: Any) -> Any:
            model: Any = FakeModel() if fake else load_model(*arguments)
            generate, asked = model.generate, []

            def kill(*batch: Any) -> Any:
                asked.append(1)
                if len(asked) > calls and not mark.exists():
                    mark.touch()
                    os.kill(os.getpid(), signal.SIGKILL)
                return generate(*batch)

            model.generate = kill
            return model

        return Predictor.find(PredictorSettings(checkpoint=checkpoint), load_model=load)

    return find


def resumed(text: str) -> int:
    return sum(int(number) for number in re.findall(r"answers, (\d+) of them from an earlier run", text))


@pytest.mark.model
def test_two_actors_of_which_one_is_killed_answer_as_one_run_does(
    inputs: Path, whole: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    mark = tmp_path / "killed"
    monkeypatch.setattr("mevlip_release.cluster.cli.partial", lambda *_: deadly(mark, calls=2))
    arguments = [inputs.as_uri(), str(tmp_path / "out"), "--shards", "2", "--actors", "2", "--checkpoint", str(DEMO)]
    with caplog.at_level("INFO"):
        done = CliRunner().invoke(cluster, ["predict", *arguments, "--batch-tokens", "1"], catch_exceptions=False)
    assert done.exit_code == 0 and "answers of 2 shards to" in done.stderr
    assert mark.exists(), "an actor was killed"
    assert (tmp_path / "out/predictions.json").read_bytes() == whole
    assert resumed(caplog.text) == 2, "what it had answered was not asked again"
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["predictions.json"]


@contextmanager
def own_cluster(monkeypatch: pytest.MonkeyPatch, cpus: int) -> Iterator[Any]:
    """A cluster that runs already, on which runs of the block work."""
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    import ray

    @contextmanager
    def running(address: str | None) -> Iterator[Any]:
        yield ray

    ray.init("local", num_cpus=cpus, include_dashboard=False, log_to_driver=False, configure_logging=False)
    monkeypatch.setattr(pipeline, "_ray", running)
    try:
        yield ray
    finally:
        ray.shutdown()


@pytest.mark.slow
def test_where_actors_keep_dying_the_run_ends_and_the_next_resumes(
    inputs: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    alone = answer_folder(inputs, tmp_path / "alone", FakeModel(), batch_tokens=1, routing="declared")
    find, pool = deadly(tmp_path / "killed", calls=1, fake=True), Pool(actors=1, retries=0)
    run = settings(tmp_path / "out", routing="declared")
    with own_cluster(monkeypatch, cpus=2):
        with pytest.raises(ModelFailure, match="died more than 0 times.*run the same command again"):
            predict_on_cluster(find, run, str(inputs), 1, pool)
        assert not (tmp_path / "out/predictions.json").exists()
        with caplog.at_level("INFO"):
            merged = predict_on_cluster(find, run, str(inputs), 1, pool)
    assert merged.predictions.read_bytes() == alone.predictions.read_bytes() and resumed(caplog.text) == 1
    assert merged.failures == 0


class Node(dict[str, Any]):
    def __init__(self, cpus: float, gpus: float = 0, alive: bool = True) -> None:
        super().__init__(Alive=alive, Resources={"CPU": cpus, **({"GPU": gpus} if gpus else {}), "memory": 1e9})


@pytest.mark.parametrize(
    ("nodes", "pool", "shards", "placed"),
    [
        ([Node(2)], Pool(), 16, (0, 2)),
        ([Node(8, 4), Node(8, 4), Node(64, alive=False)], Pool(), 16, (1, 8)),
        ([Node(8, 4)], Pool(), 3, (1, 3)),
        ([Node(2, 4)], Pool(), 16, (1, 2)),
        ([Node(9, 2)], Pool(gpus=0.4), 16, (0.4, 4)),
        ([Node(9, 3), Node(9, 3)], Pool(gpus=2), 16, (2, 2)),
        ([Node(8, 4)], Pool(gpus=0), 16, (0, 8)),
        ([Node(8, 4)], Pool(actors=2), 16, (1, 2)),
        ([Node(2)], Pool(actors=8), 2, (0, 2)),
    ],
)
def test_as_many_actors_as_fit(nodes: list[Node], pool: Pool, shards: int, placed: tuple[float, int]) -> None:
    assert place_actors(nodes, pool, shards) == placed


@pytest.mark.parametrize(
    ("nodes", "pool", "message"),
    [
        ([Node(2)], Pool(actors=3), r"3 actors with 0 GPUs and 1 CPU each do not fit.*0 GPUs and 2 CPUs on 1 nodes, "
                                    r"room for 2\. Name --actors 2 or smaller --gpus"),
        ([Node(2)], Pool(gpus=1), r"1 actors with 1 GPUs .* room for 0\. Name smaller --gpus \(0: CPU only\)"),
        ([Node(8, 2)], Pool(gpus=4), r"room for 0"),
        ([Node(0.5)], Pool(), r"room for 0"),
        ([], Pool(), r"on 0 nodes, room for 0"),
    ],
)  # fmt: skip
def test_actors_that_do_not_fit_are_announced(nodes: list[Node], pool: Pool, message: str) -> None:
    with pytest.raises(EnvironmentProblem, match=message):
        place_actors(nodes, pool, 16)


@pytest.mark.slow
def test_actors_whose_place_is_taken_are_announced_too(
    inputs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with own_cluster(monkeypatch, cpus=1) as ray:

        @ray.remote(num_cpus=1)
        class Other:
            def ready(self) -> bool:
                return True

        other = Other.remote()
        assert ray.get(other.ready.remote())
        with pytest.raises(EnvironmentProblem, match="did not start 1 actors with 0 GPUs and 1 CPU each in 2 s"):
            predict_on_cluster(healthy(), settings(tmp_path / "out"), str(inputs), 2, Pool(actors=1, patience=2))


def test_an_error_in_the_checkpoint_shows_before_a_cluster_starts(
    inputs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    arguments = [str(inputs), str(tmp_path / "out"), "--checkpoint", str(tmp_path)]
    done = CliRunner().invoke(cluster, ["predict", *arguments])
    assert isinstance(done.exception, CheckpointError)


def test_without_the_extra_it_says_what_to_install(
    inputs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    arguments = [str(inputs), str(tmp_path / "out"), "--checkpoint", str(DEMO)]
    done = CliRunner().invoke(cluster, ["predict", *arguments])
    assert isinstance(done.exception, EnvironmentProblem)
    assert str(done.exception) == "The package ray is not installed. Install the extra: pip install 'me-vlip[cluster]'."
    assert os.environ["RAY_USAGE_STATS_ENABLED"] == "0"


def test_no_cluster_at_an_address_is_one_line(inputs: Path, tmp_path: Path) -> None:
    with pytest.raises(EnvironmentProblem, match="The Ray cluster auto cannot be used.*Name a running cluster"):
        predict_on_cluster(healthy(), settings(tmp_path / "out"), str(inputs), 2, Pool(address="auto"))
