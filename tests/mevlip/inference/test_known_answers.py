"""Known answers: what the loaded adapters compute is compared with what was recorded."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch

from mevlip.checkpoints.checkpoint import Checkpoint
from mevlip.checkpoints.probes import TOLERANCE, Probe
from mevlip.core.errors import CheckpointError
from mevlip.inference.model import VisionLanguageModel
from mevlip.predictor import load_model
from mevlip.settings import PredictorSettings
from mevlip.tasks import GENERALIST, NO_ADAPTER, adapter_names
from tests.altered_checkpoints import scaled
from tests.conftest import DEMO


@contextmanager
def forwards(model: VisionLanguageModel) -> Iterator[list[int]]:
    """Counts the language model's forward passes."""
    calls: list[int] = []
    head = model._model.get_base_model().get_output_embeddings()
    hook = head.register_forward_hook(lambda *_: calls.append(1))
    yield calls
    hook.remove()


def proven(model: VisionLanguageModel, checkpoint: Checkpoint, *names: str, **probes: Probe) -> None:
    routes = {name: checkpoint.routes[name] for name in names or adapter_names()}
    model._prove_adapters(routes, {**checkpoint.probes, **probes})


def test_every_adapter_of_the_demo_has_a_known_answer_and_gives_it(
    model: VisionLanguageModel, checkpoint: Checkpoint
) -> None:
    assert set(checkpoint.probes) == set(adapter_names())
    with forwards(model) as calls:
        proven(model, checkpoint)
    assert len(calls) == 8, "one for each adapter, none of the base"


def test_what_is_recorded_again_is_what_was_recorded(model: VisionLanguageModel, checkpoint: Checkpoint) -> None:
    for name, probe in model.record_probes(checkpoint.routes).items():
        known = checkpoint.probes[name]
        assert probe.tokens == known.tokens
        assert abs(probe.effect - known.effect) < known.tolerance
        assert known.shows_the_adapter


def test_two_threads_compute_the_known_answers_too(model: VisionLanguageModel, checkpoint: Checkpoint) -> None:
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        proven(model, checkpoint)
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize("name", adapter_names())
@pytest.mark.parametrize("factor", [0.5, 2.0, 8**0.5], ids=["half alpha", "twice alpha", "rslora"])
def test_another_scaling_than_that_of_training_is_found_out(
    model: VisionLanguageModel, checkpoint: Checkpoint, name: str, factor: float
) -> None:
    with scaled(model, factor), pytest.raises(CheckpointError, match=f"adapter '{name}': its known answer is"):
        proven(model, checkpoint, name)
    proven(model, checkpoint, name)


@pytest.mark.parametrize("name", adapter_names())
def test_an_adapter_that_is_not_applied_is_found_out(
    model: VisionLanguageModel, checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    use = VisionLanguageModel.use
    monkeypatch.setattr(VisionLanguageModel, "use", lambda self, _: use(self, NO_ADAPTER))
    with pytest.raises(CheckpointError, match=f"adapter '{name}': its known answer is"):
        proven(model, checkpoint, name)


@pytest.mark.parametrize("shift", range(1, 8))
def test_every_other_adapter_in_its_place_is_found_out(
    model: VisionLanguageModel, checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch, shift: int
) -> None:
    use, names = VisionLanguageModel.use, adapter_names()
    monkeypatch.setattr(
        VisionLanguageModel, "use", lambda self, name: use(self, names[(names.index(name) + shift) % len(names)])
    )
    for name in names:
        with pytest.raises(CheckpointError, match=f"adapter '{name}': its known answer is"):
            proven(model, checkpoint, name)


def test_the_error_says_how_far_off_and_what_to_do(model: VisionLanguageModel, checkpoint: Checkpoint) -> None:
    known = checkpoint.probes["counting"]
    for off, passes in ((0.9, True), (1.1, False)):
        moved = tuple(logit + off * known.tolerance * known.spread for logit in known.logits)
        altered = known.model_copy(update={"logits": moved})
        if passes:
            proven(model, checkpoint, "counting", counting=altered)
            continue
        with pytest.raises(CheckpointError) as caught:
            proven(model, checkpoint, "counting", counting=altered)
        assert f"is {off * known.tolerance:.2f} standard deviations of the logits away" in caught.value.cause
        assert f"recorded (cpu, torch {torch.__version__}); at most {known.tolerance:.2f}" in caught.value.cause
        assert "--device cpu" in caught.value.remedy and "assemble the checkpoint again" in caught.value.remedy


def test_other_tokens_than_recorded_blame_template_or_tokenizer(
    model: VisionLanguageModel, checkpoint: Checkpoint
) -> None:
    other = checkpoint.probes["counting"].model_copy(update={"question": "Describe it."})
    with pytest.raises(CheckpointError, match=r"'counting': .* other tokens .*chat template"):
        proven(model, checkpoint, "counting", counting=other)


def test_a_token_beyond_the_vocabulary_is_named(model: VisionLanguageModel, checkpoint: Checkpoint) -> None:
    known = checkpoint.probes["counting"]
    beyond = known.model_copy(update={"ids": (*known.ids[:-1], 1 << 40)})
    with pytest.raises(CheckpointError, match="'counting': its known answer holds a token"):
        proven(model, checkpoint, "counting", counting=beyond)


def test_without_known_answers_each_adapter_must_change_the_base(
    model: VisionLanguageModel, checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    with forwards(model) as calls:
        model._prove_adapters(checkpoint.routes, {})
    assert len(calls) == 9, "the base once, as all routes ask alike"
    use = VisionLanguageModel.use
    monkeypatch.setattr(VisionLanguageModel, "use", lambda self, _: use(self, NO_ADAPTER))
    with pytest.raises(CheckpointError, match="adapter 'generalist': its logits equal the base model's"):
        model._prove_adapters(checkpoint.routes, {})


def test_an_adapter_that_hardly_changes_its_known_answer_must_still_change_the_base(
    model: VisionLanguageModel, checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    with scaled(model, 1e-3):
        weak = model.record_probes({"counting": checkpoint.routes["counting"]})["counting"]
        assert not weak.shows_the_adapter
        with forwards(model) as calls:
            proven(model, checkpoint, "counting", counting=weak)
        assert len(calls) == 2
    use = VisionLanguageModel.use
    monkeypatch.setattr(VisionLanguageModel, "use", lambda self, _: use(self, NO_ADAPTER))
    with pytest.raises(CheckpointError, match="its logits equal the base model's"):
        proven(model, checkpoint, "counting", counting=weak)


@pytest.mark.parametrize(("everywhere", "who"), [(True, "The base model's"), (False, "adapter 'counting': its")])
def test_logits_that_are_not_finite_are_refused_and_their_owner_named(
    model: VisionLanguageModel, checkpoint: Checkpoint, everywhere: bool, who: str
) -> None:
    def spoil(_: Any, __: Any, logits: torch.Tensor) -> torch.Tensor:
        active = model._model.base_model.model.model.language_model.layers[0].mlp.up_proj.forward.chosen is not None
        return logits * float("nan") if everywhere or active else logits

    hook = model._model.get_base_model().get_output_embeddings().register_forward_hook(spoil)
    try:
        for probes in (checkpoint.probes, {}):
            with pytest.raises(CheckpointError, match=f"{who} logits are not finite"):
                model._prove_adapters({"counting": checkpoint.routes["counting"]}, probes)
    finally:
        hook.remove()


def test_a_checkpoint_without_known_answers_says_so_at_every_load(
    checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(VisionLanguageModel, "load", lambda *_: None)
    for probes, expected in ((checkpoint.probes, 0), ({GENERALIST: checkpoint.probes[GENERALIST]}, 1)):
        caplog.clear()
        with caplog.at_level(logging.WARNING):
            load_model(
                Checkpoint(DEMO, checkpoint.manifest, checkpoint.routes, probes, ""), PredictorSettings(device="cpu")
            )
        assert len(caplog.records) == expected
    assert "no known answer is recorded for classification, multi_label_classification" in caplog.text


def test_rounding_is_far_below_the_tolerance(model: VisionLanguageModel, checkpoint: Checkpoint) -> None:
    """Every layer of the language model rounds otherwise: each value of its output by up to one last place."""

    def round_otherwise(_: Any, __: Any, output: Any) -> Any:
        hidden = output[0] if isinstance(output, tuple) else output
        generator = torch.Generator().manual_seed(0)
        noise = 1 + (torch.rand(hidden.shape, generator=generator) - 0.5) * 2**-6
        moved = (hidden.float() * noise).to(hidden.dtype)
        return (moved, *output[1:]) if isinstance(output, tuple) else moved

    layers = model._model.get_base_model().model.language_model.layers
    hooks = [layer.register_forward_hook(round_otherwise) for layer in layers]
    try:
        for name, probe in checkpoint.probes.items():
            _, logits = model._first_logits(name, checkpoint.routes[name], probe.question)
            off = probe.distance(logits[list(probe.ids)].tolist())
            assert 0 < off < probe.tolerance / 2
    finally:
        for hook in hooks:
            hook.remove()
    assert min(probe.effect for probe in checkpoint.probes.values()) > TOLERANCE
