"""`mevlip train grpo` for real: from the demo's adapter to answers, stopped, resumed and ended by the monitor."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml
from safetensors.torch import load_file

from mevlip.checkpoints.routes import read_route
from mevlip_training.grpo.log import LOG_NAME, read
from tests.conftest import DEMO, HANG, ROOT, call_mevlip, needs_training_environment, run_mevlip
from tests.training.grpo.conftest import SMALL

pytestmark = [needs_training_environment, pytest.mark.model]

LONGER = SMALL | {"max_steps": 6}
WEIGHTS = "adapter_model.safetensors"


def command(
    data: Path, out: Path, task: str = "counting", starts: Path = DEMO / "adapters", **overlay: object
) -> list[str]:
    file = out.with_suffix(".yaml")
    file.write_text(yaml.safe_dump(LONGER | overlay), "utf-8")
    return [
        *("train", "grpo", str(data), "--task", task, "--from", str(starts)),
        *("--base", str(DEMO / "base"), "--overlay", str(file), "--out", str(out)),
    ]


def digest(folder: Path) -> str:
    return hashlib.sha256((folder / WEIGHTS).read_bytes()).hexdigest()


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, written: Path) -> Path:
    """A folder with `whole`, a run in one piece, and `killed`, the same run killed after a saved step and resumed."""
    folder = tmp_path_factory.mktemp("runs")
    done = run_mevlip(*command(written, folder / "whole"), cwd=ROOT)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1].split()[:3] == ["counting", "8", "6"]
    words = command(written, folder / "killed")
    with subprocess.Popen([sys.executable, "-m", "mevlip", *words], cwd=ROOT, stderr=subprocess.DEVNULL) as killed:
        end = time.monotonic() + HANG
        while not list(folder.glob("killed/counting/checkpoint-*/monitor.json")) and time.monotonic() < end:
            time.sleep(0.02)
        killed.kill()
    assert not (folder / "killed/counting/train_results.json").exists()
    half = folder / "killed/counting/checkpoint-5"
    half.mkdir()
    (half / WEIGHTS).write_bytes(b"")
    done = run_mevlip(*words, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    assert f"{half} was renamed" in done.stderr
    return folder


def test_weights_change_and_are_rank_eight_on_the_same_matrices(trained: Path) -> None:
    before, after = (load_file(one / WEIGHTS) for one in (DEMO / "adapters/counting", trained / "whole/counting"))
    assert before.keys() == after.keys()
    assert all(value.shape == after[name].shape for name, value in before.items())
    assert not any(value.equal(after[name].bfloat16()) for name, value in before.items() if "lora_B" in name)


def test_a_killed_run_goes_on_and_ends_with_the_same_weights_as_one_in_one_piece(trained: Path) -> None:
    assert digest(trained / "whole/counting") == digest(trained / "killed/counting")
    whole, killed = (read(trained / name / "counting" / LOG_NAME) for name in ("whole", "killed"))
    assert [one.step for one in whole] == [one.step for one in killed] == [2, 4, 6]
    assert [one.total for one in whole] == [one.total for one in killed]
    assert whole[-1].kl is not None and whole[-1].kl > 0


def test_form_has_to_be_learned_only_where_nothing_holds_to_it(trained: Path, written: Path, tmp_path: Path) -> None:
    done = run_mevlip(*command(written, tmp_path / "free", constrain=False, temperature=3.0), cwd=ROOT)
    assert done.returncode == 0, done.stderr
    free, held = (
        {one.parts["format"].mean for one in read(folder / "counting" / LOG_NAME)}
        for folder in (tmp_path / "free", trained / "whole")
    )
    assert held == {1.0} and max(free) < 1


def test_a_model_that_thinks_first_is_scored_by_its_answer(rows: Path, starts: Path, tmp_path: Path) -> None:
    for file in (starts / "counting/route.json", rows / "routes/counting/route.json"):
        route = json.loads(file.read_bytes())
        route["prompt"]["thinking"] = {"tokens": 6}
        file.write_text(json.dumps(route), "utf-8")
    whole = {"per_device_train_batch_size": 16, "steps_per_generation": 1}
    done = run_mevlip(*command(rows, tmp_path / "out", starts=starts, **whole), cwd=ROOT)
    assert done.returncode == 0, done.stderr
    [first, *_] = read(tmp_path / "out/counting" / LOG_NAME)
    assert first.kl == 0, "what was sampled is as likely as at the start, all completions held as they were sampled"
    assert first.parts["format"].mean == 1 and first.parts["count"].mean > 0.1
    assert first.length_mean > 6 and first.at_cap == 0


def test_gradient_checkpointing_saves_memory_and_changes_no_weight(
    trained: Path, tmp_path: Path, written: Path
) -> None:
    done = run_mevlip(*command(written, tmp_path / "out", gradient_checkpointing=True), cwd=ROOT)
    assert done.returncode == 0, done.stderr
    assert digest(tmp_path / "out/counting") == digest(trained / "whole/counting")


def test_a_finished_run_is_not_repeated_and_other_settings_are_refused(trained: Path, written: Path) -> None:
    before = (trained / "whole/counting" / LOG_NAME).read_bytes()
    again = run_mevlip(*command(written, trained / "whole"), cwd=ROOT)
    assert again.returncode == 0 and "finished earlier" in again.stderr
    other = run_mevlip(*command(written, trained / "whole", seed=7), cwd=ROOT)
    assert other.returncode == 5 and "other settings" in other.stderr
    assert (trained / "whole/counting" / LOG_NAME).read_bytes() == before


def test_nothing_that_is_kept_at_the_end_has_to_be_unpickled(trained: Path) -> None:
    kept = {path.suffix for path in (trained / "whole/counting").iterdir() if path.is_file()}
    assert kept <= {".json", ".jsonl", ".safetensors", ".yaml", ".log", ".md", ""}
    assert {path.name for path in (trained / "whole/adapters/counting").iterdir()} == {
        "README.md", "adapter_config.json", WEIGHTS, "route.json",
    }  # fmt: skip


def test_the_card_says_where_it_started_and_what_it_earned(trained: Path) -> None:
    card = (trained / "whole/adapters/counting/README.md").read_text("utf-8")
    steps = read(trained / "whole/counting" / LOG_NAME)
    for line in (
        f"sha256 of its weights `{digest(DEMO / 'adapters/counting')}`",
        "| num_generations | 4 |",
        "| beta | 0.04 |",
        "| counting | count | ",
        "| optimizer steps | 6 |",
        f"| mean reward of the first tenth of steps | {steps[0].total.mean:.4f} |",
        f"| mean reward of the last tenth | {steps[-1].total.mean:.4f} |",
        f"| KL divergence from the start, nats a token | {steps[-1].kl:.4g} |",
    ):
        assert line in card
    text = (trained / "whole/counting/train.log").read_text("utf-8") + (
        trained / "whole/counting" / LOG_NAME
    ).read_text("utf-8")
    assert "How many" not in text


def test_the_adapter_is_assembled_proved_and_answers(trained: Path, tmp_path: Path) -> None:
    shutil.copytree(DEMO / "adapters", tmp_path / "adapters")
    packed = trained / "whole/adapters/counting"
    shutil.copytree(packed, tmp_path / "adapters/counting", dirs_exist_ok=True)
    assert read_route(packed).base_fingerprint == read_route(DEMO / "adapters/counting").base_fingerprint
    parts = ("--base", DEMO / "base", "--adapters", tmp_path / "adapters", "--router", DEMO / "router")
    made = call_mevlip("checkpoint", "assemble", *parts, "--kind", "demo", "--out", tmp_path / "made")
    assert made.exit_code == 0, made.output
    inputs = tmp_path / "inputs"
    shutil.copytree(ROOT / "examples/inputs/Microscopy", inputs / "Microscopy")
    where = ("--checkpoint", tmp_path / "made", "--routing", "declared", "--quiet")
    answered = call_mevlip("predict", inputs, tmp_path / "out", *where)
    assert answered.exit_code == 0, answered.output
    predictions = tmp_path / "out/predictions.json"
    assert json.loads(predictions.read_bytes())
    scored = call_mevlip("score", predictions, "--truth", inputs)
    assert scored.exit_code == 0 and "Counting" in scored.output


def test_a_run_that_collapses_ends_with_cause_and_remedy(tmp_path: Path, written: Path) -> None:
    # One answer to all questions is what a nearly certain sampler gives, and a window of two steps sees it at once.
    limits = {"window": 2, "stuck": 0.01}
    words = command(written, tmp_path / "out", temperature=1e-4, limits=limits, max_completion_length=1)
    ended = run_mevlip(*words, cwd=ROOT)
    assert ended.returncode == 9, ended.stderr
    last = ended.stderr.strip().splitlines()[-1]
    assert "steps 2 to 4:" in last and "Traceback" not in ended.stderr
    assert not (tmp_path / "out/counting/train_results.json").exists()
