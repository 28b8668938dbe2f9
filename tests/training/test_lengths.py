from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import yaml

from mevlip.checkpoints.routes import PromptSettings, read_route
from mevlip.core.errors import InputError
from mevlip_training.demo.inputs import write_training
from mevlip_training.demo.wordings import DATASETS
from mevlip_training.lengths import find_meter, measure, written_rows
from mevlip_training.runs import plan_run
from tests.conftest import DEMO, ROOT, call_mevlip

CONFIGS = ROOT / "llamafactory_configs"
BASE = DEMO / "base"


@pytest.fixture(scope="module")
def flare(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("flare")
    write_training(folder / "training", 7, {one.name: 2 for one in DATASETS})
    return folder


def prepare(flare: Path, out: Path, *options: str | Path) -> str:
    done = call_mevlip("data", "prepare", flare, "--out", out, "--config-dir", CONFIGS, "--tokenizer", BASE, *options)
    assert done.exit_code == 0, done.stderr
    return done.stdout


def shortened(folder: Path, cutoff: int) -> Path:
    """A recipe with another cut-off."""
    path = folder / "short.yaml"
    path.write_text(yaml.safe_dump({"adapters": {"counting": {"cutoff_len": cutoff}}}), "utf-8")
    return path


def test_preparing_shows_the_longest_rows_and_names_those_that_would_be_cut(flare: Path, tmp_path: Path) -> None:
    shown = prepare(flare, tmp_path / "data", "--recipe", shortened(tmp_path, 40))
    table = {line.split()[0]: line.split()[1:] for line in shown.split("longest row")[1].splitlines() if line}
    rows, longest, cutoff, beyond = map(int, table["counting"])
    assert longest > cutoff == 40 and beyond == rows
    assert re.search(
        rf"counting: longer than cutoff_len, 40: \S+ \({longest} tokens\), .*cutoff_len to {longest}", shown
    )
    dry = call_mevlip("data", "prepare", flare, "--dry-run", "--config-dir", CONFIGS, "--tokenizer", BASE)
    [line] = [line.split() for line in dry.stdout.splitlines() if line.startswith("counting ")]
    assert line[8:11] == [str(longest), "2048", "0"]


def test_training_refuses_rows_that_would_be_cut_and_says_what_would_hold_them(flare: Path, tmp_path: Path) -> None:
    prepare(flare, tmp_path / "data", "--recipe", shortened(tmp_path, 40))
    route = json.loads((tmp_path / "data/routes/counting/route.json").read_bytes())
    base = {"model_revision": route["base_revision"]}
    with pytest.raises(InputError, match="are longer than cutoff_len, 40: .*tokens") as refused:
        plan_run("counting", CONFIGS, tmp_path / "data", tmp_path / "runs", base, str(BASE))
    [enough] = re.findall(r"Set cutoff_len to (\d+)", refused.value.remedy)
    fits = plan_run(
        "counting", CONFIGS, tmp_path / "data", tmp_path / "runs", base | {"cutoff_len": int(enough)}, str(BASE)
    )
    assert fits.lengths and fits.lengths.longest == int(enough)
    with pytest.raises(InputError, match="are longer than cutoff_len"):
        plan_run(
            "counting", CONFIGS, tmp_path / "data", tmp_path / "runs", base | {"cutoff_len": int(enough) - 1}, str(BASE)
        )


@pytest.mark.parametrize("cutoff", [1, 45, 100, 10_000])
def test_looking_up_only_the_pixels_that_matter_changes_no_length(flare: Path, tmp_path: Path, cutoff: int) -> None:
    prepare(flare, tmp_path / "data", "--crop-to-patches")
    route, meter = read_route(tmp_path / "data/routes/generalist"), find_meter(BASE)
    assert meter
    rows = list(written_rows(tmp_path / "data/generalist.jsonl", route.prompt, meter.image_gap))
    exact = {row.id: meter.exact(row, route.images) for row in rows}
    assert len(set(exact.values())) > 5
    found = measure(rows, meter, route.images, cutoff)
    assert (found.rows, found.longest) == (len(rows), max(exact.values()))
    assert dict(found.beyond) == {row: tokens for row, tokens in exact.items() if tokens > cutoff}


def test_without_the_base_nothing_is_measured_and_this_is_said(flare: Path, tmp_path: Path) -> None:
    done = call_mevlip("data", "prepare", flare, "--out", tmp_path / "data", "--config-dir", CONFIGS)
    assert done.exit_code == 0 and "rows were not measured: that needs the base's folder as --tokenizer" in done.stdout
    (tmp_path / "config.json").write_text('{"model_type": "internvl"}')
    assert find_meter(tmp_path) is None and find_meter(None) is None


def test_a_line_that_is_no_row_is_named(tmp_path: Path) -> None:
    (tmp_path / "x.jsonl").write_text('{"id": "a"}\n')
    with pytest.raises(InputError, match=r"x\.jsonl: line 1 is no row of training data"):
        list(written_rows(tmp_path / "x.jsonl", PromptSettings(), "\n"))
