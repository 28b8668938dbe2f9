from __future__ import annotations

import hashlib
import json
import re
import shutil
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file, save_file

from mevlip.checkpoints.adapter_config import WEIGHTS_NAME as WEIGHTS
from mevlip.checkpoints.checkpoint import open_checkpoint
from mevlip.checkpoints.routes import Mix
from mevlip.core.errors import CheckpointError, EnvironmentProblem
from mevlip.tasks import TaskType
from mevlip_training.assembly import assemble
from mevlip_training.recipes.reading import parse_recipe
from mevlip_training.recipes.recipe import Recipe
from tests.altered_checkpoints import seal
from tests.conftest import DEMO, EXAMPLES, answer_folder, call_mevlip, first_of_each, run_mevlip

pytestmark = pytest.mark.slow

COMMIT = "0123456789abcdef0123456789abcdef01234567"
PARTS = ("--base", DEMO / "base", "--adapters", DEMO / "adapters", "--router", DEMO / "router")


def put_together(
    out: Path, quantize: bool = False, probe: bool = False, recipe: Recipe | None = None, **parts: Path
) -> None:
    folders = {"base": DEMO / "base", "adapters": DEMO / "adapters", "router": DEMO / "router", **parts}
    assemble(out, **folders, name="x", kind="demo", notice="", quantize=quantize, probe=probe, recipe=recipe)


@pytest.mark.model
def test_parts_become_a_checkpoint_that_the_predictor_opens(tmp_path: Path) -> None:
    done = run_mevlip("checkpoint", "assemble", *PARTS, "--out", tmp_path / "made", "--kind", "demo", "--notice", "Hi")
    assert done.returncode == 0, done.stderr
    assert "Loading weights" not in done.stderr and "kernels" not in done.stderr, "libraries keep to themselves"
    made = open_checkpoint(tmp_path / "made")
    assert made.manifest.notice == "Hi"
    assert made.routes == open_checkpoint(DEMO).routes
    assert made.probes.keys() == made.routes.keys()
    verified = call_mevlip("checkpoint", "check", tmp_path / "made")
    assert verified.exit_code == 0
    assert ": verified, " in verified.stdout.splitlines()[-1]


def test_files_that_could_run_code_stay_behind(tmp_path: Path) -> None:
    shutil.copytree(DEMO / "base", tmp_path / "base")
    for name in ("pytorch_model.bin", "modeling.py", ".secret", "README.md"):
        (tmp_path / "base" / name).write_text("x")
    put_together(tmp_path / "made", base=tmp_path / "base")
    assert {path.name for path in (tmp_path / "made/base").iterdir()} == {p.name for p in (DEMO / "base").iterdir()}


def test_a_base_in_internvls_original_layout_is_refused_with_the_command_that_converts_it(tmp_path: Path) -> None:
    (tmp_path / "base").mkdir()
    (tmp_path / "base/config.json").write_text('{"model_type": "internvl_chat"}')
    with pytest.raises(CheckpointError, match="mevlip checkpoint convert"):
        put_together(tmp_path / "made", base=tmp_path / "base")
    assert not (tmp_path / "made").exists()


def test_a_recipe_changes_which_adapters_answer_together_and_nothing_else(tmp_path: Path) -> None:
    text = b"""
default: {box_space: pixel, compose: [generalist]}
adapters: {counting: {compose: [regression]}, detection: {compose: [], mix: {most: 0.5}}}
"""
    put_together(tmp_path / "made", recipe=parse_recipe(text, "r.yaml"))
    made, before = (open_checkpoint(one).routes for one in (tmp_path / "made", DEMO))
    composed = dict.fromkeys(before, ("generalist",)) | {"generalist": (), "counting": ("regression",), "detection": ()}
    assert {name: route.compose for name, route in made.items()} == composed
    assert {name: route.mix for name, route in made.items() if route.mix} == {"detection": Mix(most=0.5)}
    alone = {"compose": (), "mix": None}
    assert {name: route.model_copy(update=alone) for name, route in made.items()} == before
    put_together(tmp_path / "again", adapters=tmp_path / "made/adapters", recipe=Recipe())
    assert open_checkpoint(tmp_path / "again").routes == before


@pytest.mark.model
@pytest.mark.parametrize("size", ["demo", "thin"])
def test_a_base_stored_in_four_bits_gives_the_logits_of_one_quantized_at_load(
    size: str, thin_checkpoint: Path, tmp_path: Path
) -> None:
    import torch

    from mevlip.inference.model import VisionLanguageModel

    source = DEMO if size == "demo" else thin_checkpoint
    before = {path.name: path.read_bytes() for path in (source / "base").iterdir()}
    parts = ("--base", source / "base", "--adapters", source / "adapters", "--router", source / "router")
    options = ("--kind", "demo", "--quantize", "nf4", "--no-probe")
    done = call_mevlip("checkpoint", "assemble", *parts, "--out", tmp_path / "made", *options)
    assert done.exit_code == 0, done.stderr
    assert "stored in four bits" in done.stdout.splitlines()[-1]
    assert {path.name: path.read_bytes() for path in (source / "base").iterdir()} == before
    assert {path.name for path in (tmp_path / "made/base").iterdir()} == before.keys() | {"quantized_from.json"}
    stored = open_checkpoint(tmp_path / "made")
    assert stored.manifest.size < open_checkpoint(source).manifest.size
    models = [
        VisionLanguageModel.load(one, torch.device("cpu"), reference=True) for one in (open_checkpoint(source), stored)
    ]
    inputs = models[0].encoder.tokenizer(["How many cells are in this picture?"], return_tensors="pt")
    pixels = torch.randn(1, 3, 448, 448, dtype=torch.bfloat16)
    pixels = pixels if size == "thin" else pixels[..., :112, :112]
    with torch.inference_mode():
        for adapter in ("counting", "report_generation"):
            for model in models:
                model.use(adapter)
            first, second = (model._model(**inputs).logits for model in models)
            assert torch.equal(first, second)
        first, second = (model._model.get_base_model().model.get_image_features(pixels) for model in models)
        assert torch.equal(first.pooler_output, second.pooler_output)


@pytest.mark.model
def test_a_base_stored_in_four_bits_is_asked_and_assembled_again_as_it_is(tmp_path: Path) -> None:
    put_together(tmp_path / "made", quantize=True, probe=True)
    put_together(tmp_path / "again", base=tmp_path / "made/base", quantize=True)
    assert open_checkpoint(tmp_path / "again").routes == open_checkpoint(DEMO).routes, "the chain back to training"
    names = sorted(path.name for path in (tmp_path / "made/base").iterdir())
    assert names == sorted(path.name for path in (tmp_path / "again/base").iterdir())
    for name in names:
        assert (tmp_path / "made/base" / name).samefile(tmp_path / "again/base" / name)
    root = first_of_each(tmp_path / "in")
    for checkpoint, out in ((tmp_path / "made", "stored"), (DEMO, "plain")):
        answer_folder(root, tmp_path / out, checkpoint=checkpoint, routing="declared")
    assert (tmp_path / "stored/predictions.json").read_bytes() == (tmp_path / "plain/predictions.json").read_bytes()


@pytest.mark.model
def test_a_base_stored_in_other_bits_than_the_routes_want_is_named(tmp_path: Path) -> None:
    put_together(tmp_path / "made", quantize=True)
    shutil.copytree(DEMO / "adapters", tmp_path / "adapters")
    for path in (tmp_path / "adapters").glob("*/route.json"):
        route = json.loads(path.read_bytes())
        path.write_text(json.dumps({**route, "quantization": {"kind": "nf4", "double": False}}), "utf-8")
    put_together(tmp_path / "other", base=tmp_path / "made/base", adapters=tmp_path / "adapters")
    differs = "is stored with bnb_4bit_use_double_quant True, its adapters' routes want False"
    with pytest.raises(CheckpointError, match=differs):
        answer_folder(EXAMPLES, tmp_path / "out", checkpoint=tmp_path / "other", routing="declared")
    for path in (tmp_path / "adapters").glob("*/route.json"):
        route = json.loads(path.read_bytes())
        path.write_text(json.dumps({**route, "quantization": {"kind": "none", "double": True}}), "utf-8")
    with pytest.raises(CheckpointError, match="want an unquantized base"):
        put_together(tmp_path / "third", adapters=tmp_path / "adapters", quantize=True)
    assert not (tmp_path / "third").exists()


ROUTES = "adapters/*/route.json"


def forget(folder: Path, *keys: str, **changes: object) -> Path:
    """A copy of the demo's adapters whose routes lack some keys."""
    shutil.copytree(DEMO / "adapters", folder / "adapters")
    for path in folder.glob(ROUTES):
        route = {key: value for key, value in json.loads(path.read_bytes()).items() if key not in keys}
        path.write_text(json.dumps(route | changes), "utf-8")
    return folder / "adapters"


@pytest.mark.model
def test_a_checkpoint_of_version_2_is_brought_up_to_date(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    old = Path(shutil.copytree(DEMO, tmp_path / "old"))
    shutil.rmtree(old / "adapters")
    forget(old, "base_fingerprint", "adapter_fingerprint", version=2)
    for path in old.glob("adapters/*/probe.json"):
        path.unlink()
    seal(old)
    with pytest.raises(CheckpointError) as asked:
        answer_folder(EXAMPLES, tmp_path / "out", checkpoint=old)
    [named] = re.findall(r"mevlip (checkpoint assemble .*) --out NEW", str(asked.value))
    with caplog.at_level("INFO"):
        done = call_mevlip(*named.split(), "--out", tmp_path / "new", "--kind", "demo")
    assert done.exit_code == 0, done.stderr
    assert "its route gets base_fingerprint and adapter_fingerprint from the files given here" in caplog.text
    new = open_checkpoint(tmp_path / "new").routes
    assert {name: route.model_copy(update={"base_assumed": False}) for name, route in new.items()} == open_checkpoint(
        DEMO
    ).routes
    assert old.joinpath("adapters/counting/route.json").read_bytes().count(b'"version": 2') == 1, "the old one is kept"


def test_a_base_that_training_knew_by_name_only_is_filled_in(tmp_path: Path) -> None:
    put_together(tmp_path / "made", adapters=forget(tmp_path, "base_fingerprint"))
    made = open_checkpoint(tmp_path / "made").routes
    assert all(route.base_assumed for route in made.values())
    assert {name: route.model_copy(update={"base_assumed": False}) for name, route in made.items()} == open_checkpoint(
        DEMO
    ).routes
    assert call_mevlip("checkpoint", "check", tmp_path / "made").stdout.count("by name only") == 8
    put_together(tmp_path / "again", adapters=tmp_path / "made/adapters")
    assert open_checkpoint(tmp_path / "again").routes == made, "it stays so"
    assert "by name only" not in call_mevlip("checkpoint", "check", DEMO).stdout


@pytest.mark.parametrize(
    ("change", "cause"),
    [
        ({"hidden_size": 96}, r"'generalist' was not trained on this base: .* is 192 high there and 96 in this base"),
        ({"num_hidden_layers": 1, "layer_types": ["full_attention"]}, r"layers\.1\..* is no linear layer of this base"),
    ],
)
def test_an_adapter_that_training_knew_by_its_bases_name_only_has_to_fit_the_base(
    tmp_path: Path, change: dict[str, Any], cause: str
) -> None:
    shutil.copytree(DEMO / "base", tmp_path / "base")
    config = tmp_path / "base/config.json"
    shape = json.loads(config.read_bytes())
    shape["text_config"] |= change
    config.write_text(json.dumps(shape), "utf-8")
    with pytest.raises(CheckpointError, match=cause):
        put_together(tmp_path / "made", base=tmp_path / "base", adapters=forget(tmp_path, "base_fingerprint"))
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize("quantize", [False, True])
@pytest.mark.model
def test_adapters_are_refused_with_another_base_than_that_of_training(tmp_path: Path, quantize: bool) -> None:
    shutil.copytree(DEMO / "base", tmp_path / "base")
    config = tmp_path / "base/config.json"
    config.write_text(json.dumps(json.loads(config.read_bytes()) | {"pad_token_id": 1}), "utf-8")
    with pytest.raises(
        CheckpointError, match="'generalist': it was trained on another base .* config of the base differ"
    ):
        put_together(tmp_path / "made", base=tmp_path / "base", quantize=quantize, probe=True)
    assert not (tmp_path / "made").exists()


def test_adapters_whose_weights_were_mixed_up_are_refused(tmp_path: Path) -> None:
    shutil.copytree(DEMO / "adapters", tmp_path / "adapters")
    shutil.copyfile(DEMO / f"adapters/detection/{WEIGHTS}", tmp_path / f"adapters/counting/{WEIGHTS}")
    with pytest.raises(CheckpointError, match="'counting': the weights .* are those of 'detection'"):
        put_together(tmp_path / "made", adapters=tmp_path / "adapters")
    assert not (tmp_path / "made").exists()


@pytest.mark.model
def test_an_adapter_that_takes_no_effect_is_not_assembled(tmp_path: Path) -> None:
    adapters = forget(tmp_path, "adapter_fingerprint")
    path = adapters / "counting" / WEIGHTS
    weights = {key: value * 1e-20 if "lora_B" in key else value for key, value in load_file(path).items()}
    path.unlink()
    save_file(weights, path, {"format": "pt"})
    with pytest.raises(CheckpointError, match="adapter 'counting': its logits equal the base model's"):
        put_together(tmp_path / "made", adapters=adapters, probe=True)
    assert not (tmp_path / "made").exists()


@pytest.mark.model
def test_without_memory_for_the_model_known_answers_may_be_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(*_: object) -> None:
        raise EnvironmentProblem("The base model does not fit into the free memory", "End other programs.")

    with monkeypatch.context() as patch:
        patch.setattr("mevlip.inference.model.load_base", full)
        with pytest.raises(EnvironmentProblem, match="no known answers can be recorded.*--no-probe"):
            put_together(tmp_path / "made", probe=True)
    assert not (tmp_path / "made").exists()
    assembled = call_mevlip(
        "checkpoint", "assemble", *PARTS, "--out", tmp_path / "made", "--kind", "demo", "--no-probe"
    )
    assert assembled.exit_code == 0, assembled.stderr
    assert not list((tmp_path / "made").glob("adapters/*/probe.json"))
    checked = call_mevlip("checkpoint", "check", tmp_path / "made")
    assert checked.exit_code == 0 and checked.stdout.count("MISSING") == 8
    root = EXAMPLES / "Mammography"
    asked = call_mevlip("predict", root, tmp_path / "out", "--checkpoint", tmp_path / "made", "--routing", "declared")
    assert asked.exit_code == 0, asked.stderr
    assert "no known answer is recorded for generalist, classification" in caplog.text


def adapters_of(folder: Path, *names: str) -> Path:
    """A folder with some of the demo's adapters."""
    for name in names:
        shutil.copytree(DEMO / "adapters" / name, folder / "adapters" / name)
    return folder / "adapters"


def test_without_a_generalist_nothing_is_assembled(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"adapters/generalist: no such folder"):
        put_together(tmp_path / "made", adapters=adapters_of(tmp_path, "counting"))
    assert [path.name for path in tmp_path.iterdir()] == ["adapters"]


@pytest.mark.model
def test_the_generalist_answers_tasks_without_an_adapter_of_their_own(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    adapters = adapters_of(tmp_path, "generalist", "counting")
    made = call_mevlip(
        "checkpoint", "assemble", "--base", DEMO / "base", "--adapters", adapters, "--router", DEMO / "router",
        "--out", tmp_path / "made", "--kind", "demo",
    )  # fmt: skip
    assert made.exit_code == 0, made.stderr
    assert "no adapter of its own for classification, multi_label_classification, detection" in caplog.text
    opened = open_checkpoint(tmp_path / "made")
    assert set(opened.routes) == set(opened.probes) == {"generalist", "counting"}
    assert len(opened.manifest.generalist_for) == 6 and TaskType.COUNTING not in opened.manifest.generalist_for
    checked = call_mevlip("checkpoint", "check", tmp_path / "made")
    assert "answered by the generalist, without an adapter of their own: classification, " in checked.stdout
    root = first_of_each(tmp_path / "in")
    for routing in ("declared", "router"):
        report = answer_folder(root, tmp_path / routing, checkpoint=tmp_path / "made", routing=routing)
        assert {answer.adapter for answer in report.answers} == {"generalist", "counting"}
        assert not report.failures
    by_generalist = answer_folder(root, tmp_path / "generalist", checkpoint=DEMO, routing="generalist").answers
    mine = {answer.position: answer.text for answer in report.answers if answer.adapter == "generalist"}
    assert mine == {answer.position: answer.text for answer in by_generalist if answer.position in mine}
    doctor = call_mevlip("doctor", "--checkpoint", tmp_path / "made")
    assert doctor.exit_code == 0 and "2 adapters (the generalist answers classification, " in doctor.stdout


def test_an_adapter_that_the_manifest_wants_and_the_folder_lacks_is_still_an_error(tmp_path: Path) -> None:
    shutil.copytree(DEMO, tmp_path / "copy")
    shutil.rmtree(tmp_path / "copy/adapters/counting")
    with pytest.raises(CheckpointError, match="adapter 'counting'"):
        open_checkpoint(tmp_path / "copy")


def test_adapters_of_different_bases_are_refused_and_nothing_is_left(tmp_path: Path) -> None:
    shutil.copytree(DEMO / "adapters", tmp_path / "adapters")
    route = tmp_path / "adapters" / "counting" / "route.json"
    route.write_text(json.dumps({**json.loads(route.read_bytes()), "base_revision": "other"}), "utf-8")
    with pytest.raises(CheckpointError, match="'counting' was trained on"):
        put_together(tmp_path / "made", adapters=tmp_path / "adapters")
    assert [path.name for path in tmp_path.iterdir()] == ["adapters"]


def test_a_folder_in_use_is_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "made").mkdir()
    (tmp_path / "made" / "precious").write_text("x")
    with pytest.raises(CheckpointError, match="is not empty"):
        put_together(tmp_path / "made")
    assert (tmp_path / "made" / "precious").exists()


def test_an_altered_file_fails_verification(tmp_path: Path) -> None:
    shutil.copytree(DEMO, tmp_path / "copy")
    with (tmp_path / "copy" / "router" / "router.json").open("a") as file:
        file.write(" ")
    done = run_mevlip("checkpoint", "check", tmp_path / "copy")
    assert done.returncode == 3
    assert "router/router.json" in done.stderr.splitlines()[-1]


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """A model hub on this machine: its address, and the folder that it serves as the repository `team/model`."""
    folder = tmp_path / "hub"
    folder.mkdir()

    class Hub(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.reply(body=True)

        def do_HEAD(self) -> None:
            self.reply(body=False)

        def reply(self, body: bool) -> None:
            names = sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())
            prefix = f"/team/model/resolve/{COMMIT}/"
            if self.path.split("?")[0] == f"/api/models/team/model/revision/{COMMIT}":
                content = json.dumps(
                    {"id": "team/model", "sha": COMMIT, "siblings": [{"rfilename": name} for name in names]}
                ).encode()
            elif self.path.split("?")[0] == f"/api/models/team/model/tree/{COMMIT}":
                files = [{"type": "file", "path": n, "oid": n, "size": (folder / n).stat().st_size} for n in names]
                content = json.dumps(files).encode()
            elif self.path.startswith(prefix) and self.path.removeprefix(prefix) in names:
                content = (folder / self.path.removeprefix(prefix)).read_bytes()
            else:
                self.send_error(404)
                return
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.send_header("X-Repo-Commit", COMMIT)
            self.send_header("ETag", f'"{hashlib.sha256(content).hexdigest()}"')
            self.end_headers()
            if body:
                self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            """Keeps the test's output clean."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}", folder
    server.shutdown()


def fetch(address: str, home: Path, *arguments: str | Path) -> tuple[int, str, str]:
    environment = {"HF_ENDPOINT": address, "HF_HUB_OFFLINE": "0", "HF_HOME": str(home)}
    done = run_mevlip("checkpoint", "fetch", "team/model", *arguments, env=environment)
    return done.returncode, done.stdout, done.stderr


def test_a_checkpoint_is_fetched_and_verified(hub: tuple[str, Path], tmp_path: Path) -> None:
    address, folder = hub
    shutil.copytree(DEMO, folder, dirs_exist_ok=True)
    (folder / "pytorch_model.bin").write_text("never loaded")
    status, out, error = fetch(address, tmp_path / "home", "--revision", COMMIT, "--out", tmp_path / "got")
    assert status == 0, error
    assert ": fetched and verified" in out
    assert open_checkpoint(tmp_path / "got").digest == open_checkpoint(DEMO).digest


def test_a_base_model_is_fetched_as_a_part(hub: tuple[str, Path], tmp_path: Path) -> None:
    address, folder = hub
    shutil.copytree(DEMO / "base", folder, dirs_exist_ok=True)
    status, out, error = fetch(address, tmp_path / "home", "--revision", COMMIT, "--out", tmp_path / "got")
    assert status == 0, error
    assert "a part of a checkpoint" in out
    assert {path.name for path in (tmp_path / "got").iterdir()} == {path.name for path in folder.iterdir()}


@pytest.mark.parametrize(
    ("revision", "said"),
    [("main", "is not a full commit"), ("f" * 40, "could not be fetched")],
    ids=["branch", "unknown"],
)
def test_what_cannot_be_fetched_is_explained(hub: tuple[str, Path], tmp_path: Path, revision: str, said: str) -> None:
    status, _, error = fetch(hub[0], tmp_path / "home", "--revision", revision, "--out", tmp_path / "got")
    assert status == 3
    assert said in error.splitlines()[-1]
