"""Shards of a run, and joining them: the same bytes as one run's, or an error that says what to do."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from mevlip.cli.predictions import merge
from mevlip.core.errors import EnvironmentProblem, MevlipError, OutputError, TimeLimitReached
from mevlip.flare.questions import read_input_folder
from mevlip.runs.explanations import read_explanations
from mevlip.runs.journal import Journal, journals
from mevlip.runs.merging import SHARD_NAME, merge_shards, read_shard
from tests.conftest import EXAMPLES, FakeModel, answer_folder, copy_two_examples, record, run_mevlip

Write = Callable[..., Path]


def model() -> FakeModel:
    return FakeModel(lambda adapter, text: "AB"[len(text) % 2])


def run_shard(root: Path, output: Path, shard: str | None, **options: Any) -> Path:
    if shard is not None:
        options |= {"shard": shard}
    answer_folder(root, output, **{"model": model(), "routing": "declared", **options})
    return output


@pytest.fixture
def root(write_questions: Write) -> Path:
    """Two files of questions about eight pictures, two of them together, and one without a picture."""
    first = [record(f"Which {'x' * n}? A: This, B: That", image=f"{n % 4}.png") for n in range(9)]
    second = [record(f"Which {'y' * n}? A: This, B: That", image=f"{n}.png") for n in range(4)]
    write_questions([*second, record("é \ud800? A: x, B: y", image=["1.png", "2.png"])], folder="CT/other")
    return write_questions([*first, record("None? A: x, B: y", image=[])])


@pytest.fixture
def shards(root: Path, tmp_path: Path) -> list[Path]:
    return [run_shard(root, tmp_path / f"shards/{number}", f"{number}/3") for number in (1, 2, 3)]


def join(shards: list[Path], root: Path, output: Path) -> bytes:
    output.mkdir(exist_ok=True)
    return merge_shards(shards, read_input_folder(root), output).predictions.read_bytes()


def edit(output: Path, **fields: Any) -> None:
    path = output / SHARD_NAME
    path.write_text(json.dumps(json.loads(path.read_text()) | fields))


def test_merged_shards_are_the_same_bytes_as_one_run(root: Path, shards: list[Path], tmp_path: Path) -> None:
    whole = run_shard(root, tmp_path / "whole", None)
    assert not (whole / SHARD_NAME).exists()
    for order in (shards, shards[::-1]):
        assert join(order, root, tmp_path / "out") == (whole / "predictions.json").read_bytes()
    rows = [json.loads((path / "predictions.json").read_bytes()) for path in shards]
    assert sum(map(len, rows)) == 15 and all(len(part) < 15 for part in rows)
    seen = [{json.dumps(row["ImageName"]) for row in part} for part in rows]
    assert not seen[0] & seen[1] & seen[2]


def test_a_shard_without_a_question_is_a_valid_result(write_questions: Write, tmp_path: Path) -> None:
    root = write_questions([record("One? A: x, B: y")])
    shards = [run_shard(root, tmp_path / str(number), f"{number}/4") for number in range(1, 5)]
    contents = sorted((path / "predictions.json").read_bytes() for path in shards)
    assert contents[1:] == [b"[]\n"] * 3 and not any(map(journals, shards))
    assert join(shards, root, tmp_path / "out") == contents[0]


def test_shards_into_one_folder_keep_journals_of_their_own(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(adapter: str, text: str) -> str:
        raise KeyboardInterrupt

    def interrupted() -> Iterator[str]:
        for shard in ("1/3", "2/3"):
            with pytest.raises(KeyboardInterrupt), monkeypatch.context() as patch:
                patch.setattr(Journal, "close", lambda self: None)
                run_shard(root, tmp_path / "out", shard, model=FakeModel(stop))
            yield shard

    assert [len(journals(tmp_path / "out")) for _ in interrupted()] == [1, 2]


def test_an_interrupted_shard_resumes(root: Path, tmp_path: Path) -> None:
    calls = iter(range(100))

    def stop(adapter: str, text: str) -> str:
        if next(calls) == 2:
            raise KeyboardInterrupt
        return "A"

    with pytest.raises(KeyboardInterrupt):
        run_shard(root, tmp_path / "1", "1/2", model=FakeModel(stop), batch_tokens=1)
    with pytest.raises(ValueError, match="does not hold a finished shard"):
        read_shard(tmp_path / "1")
    report = answer_folder(root, tmp_path / "1", model(), routing="declared", batch_tokens=1, shard="1/2")
    assert report.resumed == 2 and read_shard(tmp_path / "1").shard == "1/2"


def test_a_missing_shard_is_named_with_the_command_that_makes_it(
    root: Path, tmp_path: Path, shards: list[Path]
) -> None:
    options = {"routing": "declared", "batch_tokens": 2, "threshold": 0.5, "constrain": False, "device": "cpu"}
    some = [run_shard(root, tmp_path / f"a b/{number}", f"{number}/3", **options) for number in (1, 3)]
    with pytest.raises(OutputError, match=r"^1 of 3 shards are missing: 2/3; .*a b/2 does not hold a finished") as got:
        join([some[0], tmp_path / "a b/2", some[1]], root, tmp_path / "out")
    assert f"mevlip predict {root} '{tmp_path}/a b/2' --shard 2/3 --checkpoint " in got.value.remedy
    assert got.value.remedy.endswith(
        "checkpoints/demo --device cpu --routing declared --threshold 0.5 --batch-tokens 2 --no-constrain`, "
        "then merge again."
    )
    with pytest.raises(OutputError, match=r"2 of 3 shards are missing: 1/3, 3/3.*FOLDER --shard 1/3 .*and the like"):
        join(shards[1:2], root, tmp_path / "out")
    assert not (tmp_path / "out/predictions.json").exists()


def other_settings(root: Path, shard: Path) -> None:
    run_shard(root, shard, "2/3", threshold=0.5, batch_tokens=2)


def other_total(root: Path, shard: Path) -> None:
    run_shard(root, shard, "2/2")


def other_input(root: Path, shard: Path) -> None:
    [file] = (root / "CT").rglob("*.json")
    content = file.read_text("utf-8")
    file.write_text(content.replace("Which y?", "Which z?"))
    run_shard(root, shard, "2/3")
    file.write_text(content)


def other_checkpoint(root: Path, shard: Path) -> None:
    edit(shard, identity={**json.loads((shard / SHARD_NAME).read_text())["identity"], "checkpoint": "another"})


def other_version(root: Path, shard: Path) -> None:
    edit(shard, identity={**json.loads((shard / SHARD_NAME).read_text())["identity"], "version": "0.0.1"})


def same_shard(root: Path, shard: Path) -> None:
    run_shard(root, shard, "1/3")


def limited(root: Path, shard: Path) -> None:
    for number in (1, 2, 3):
        run_shard(root, shard.with_name(str(number)), f"{number}/3", limit=4)


def foreign_answer(root: Path, shard: Path) -> None:
    file = shard / "predictions.json"
    file.write_text(file.read_text().replace('"Answer": "', '"Answer": "x'))


def whole_run(root: Path, shard: Path) -> None:
    run_shard(root, shard, None)


def damaged(root: Path, shard: Path) -> None:
    (shard / SHARD_NAME).write_text('{"shard": 5}')


def no_shard(root: Path, shard: Path) -> None:
    edit(shard, shard="9/2")


def twice_answered(root: Path, shard: Path) -> None:
    edit(shard, positions=[0, *json.loads((shard / SHARD_NAME).read_text())["positions"]][:-1])


def no_json(root: Path, shard: Path) -> None:
    (shard / SHARD_NAME).write_bytes(b"\xff\0")


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (other_settings, r"shards/1 and .*shards/2 were made with another threshold, batch_tokens"),
        (other_total, r"were made with another number of shards"),
        (other_input, r"shards/2 answers other question records than those of .*/in"),
        (other_checkpoint, r"were made with another checkpoint"),
        (other_version, r"were made with another version"),
        (same_shard, r"shards/1 and .*shards/2 hold the same shard 1/3. Name one of them"),
        (limited, r"11 of 15 questions are in none of the 3 shards.*without --limit"),
        (foreign_answer, r"2/3; .*shards/2 has another predictions.json than its shard wrote.*--shard 2/3"),
        (whole_run, r"2/3; .*shards/2 has another predictions.json than its shard wrote"),
        (damaged, r"2/3; .*shards/2 has a damaged .mevlip-shard.json \(shard: "),
        (no_shard, r"2/3; .*shards/2 has a damaged .mevlip-shard.json \(shard: a shard is I/N"),
        (no_json, r"2/3; .*shards/2 has a damaged .mevlip-shard.json"),
        (twice_answered, r"questions are in none of the 3 shards or in several"),
    ],
)
def test_shards_that_do_not_belong_together_are_refused(
    root: Path, shards: list[Path], tmp_path: Path, damage: Callable[[Path, Path], None], message: str
) -> None:
    damage(root, shards[1])
    with pytest.raises(OutputError, match=message):
        join(shards, root, tmp_path / "out")
    assert not (tmp_path / "out/predictions.json").exists()


def test_a_shard_is_never_overwritten_by_the_whole(root: Path, shards: list[Path], tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(shards[0])
    for output in (shards[0], tmp_path / "link"):
        with pytest.raises(EnvironmentProblem, match="is the output folder of a shard"):
            join(shards, root, output)
    assert read_shard(shards[0]).shard == "1/3"


def test_surplus_folders_are_refused(root: Path, shards: list[Path], tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="Leave it out: all shards are there"):
        join([*shards, tmp_path], root, tmp_path / "out")


@pytest.mark.parametrize("shard", ["0/2", "3/2", "x", "1/2 "])
def test_a_wrong_shard_is_a_usage_error(shard: str, tmp_path: Path) -> None:
    done = run_mevlip("predict", EXAMPLES, tmp_path / "out", "--shard", shard)
    assert done.returncode == 2 and not (tmp_path / "out").exists()
    assert "Invalid value for '--shard'" in done.stderr and f"{shard!r}: " in done.stderr
    assert "a shard is I/N with I from 1 to N, such as 2/8" in done.stderr.splitlines()[-1]


def test_the_command_merges(root: Path, shards: list[Path], tmp_path: Path) -> None:
    done = run_mevlip("predictions", "merge", *shards, "--input", root, "--out", tmp_path / "out")
    assert done.returncode == 0 and done.stderr == f"wrote 15 answers of 3 shards to {tmp_path}/out/predictions.json\n"
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["predictions.json"]
    done = run_mevlip("predictions", "merge", *shards[:2], "--input", root, "--out", tmp_path / "out2")
    assert done.returncode == 6 and f"mevlip predict {root} FOLDER --shard 3/3 " in done.stderr.splitlines()[-1]


def call(*arguments: object) -> Result:
    return CliRunner().invoke(merge, [str(one) for one in arguments])


def test_questions_without_time_give_the_same_status_as_in_a_whole_run(root: Path, tmp_path: Path) -> None:
    shards = [run_shard(root, tmp_path / str(number), f"{number}/2", time_limit=0.01) for number in (1, 2)]
    done = call(*shards, "--input", root, "--out", tmp_path / "out")
    assert isinstance(done.exception, TimeLimitReached) and done.exception.exit_code == 4
    assert "no time to ask 15 of 15 questions" in done.exception.cause
    assert len(json.loads((tmp_path / "out/predictions.json").read_bytes())) == 15


def test_explanations_of_shards_are_joined_in_input_order(root: Path, tmp_path: Path) -> None:
    whole = tmp_path / "whole.jsonl"
    run_shard(root, tmp_path / "whole", None, explanations=whole)
    shards = []
    for number in (1, 2):
        out = tmp_path / f"shards/{number}"
        shards.append(run_shard(root, out, f"{number}/2", explanations=out / "explanations.jsonl"))
    joined = tmp_path / "out/explanations.jsonl"
    done = call(*shards, "--input", root, "--out", tmp_path / "out", "--explanations", joined)
    assert done.exception is None and joined.read_bytes() == whole.read_bytes() and len(read_explanations(joined)) == 15
    (shards[0] / "explanations.jsonl").write_text("")
    done = call(*shards, "--input", root, "--out", tmp_path / "out", "--explanations", joined)
    assert isinstance(done.exception, MevlipError) and "No shard explains" in done.exception.cause


@pytest.mark.usefixtures("loaded_once")
def test_two_shards_of_the_demo_are_the_same_bytes_as_one_run(tmp_path: Path) -> None:
    root = copy_two_examples(tmp_path / "in")
    for name, options in {"whole": {}, "1": {"shard": "1/2"}, "2": {"shard": "2/2"}}.items():
        answer_folder(root, tmp_path / name, batch_tokens=1, **options)
    shards = [tmp_path / "1", tmp_path / "2"]
    done = call(*shards, "--input", root, "--out", tmp_path / "out")
    assert done.exception is None, done.stderr
    whole = (tmp_path / "whole/predictions.json").read_bytes()
    assert (tmp_path / "out/predictions.json").read_bytes() == whole
    assert all(b"Answer" in (shard / "predictions.json").read_bytes() for shard in shards)
