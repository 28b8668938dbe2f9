"""What a predictor imports, in processes of their own; pytest's own process has imported far more."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.conftest import HANG, ROOT

UNUSED = ("sklearn", "scipy", "pandas", "matplotlib", "ray", "requests", "pyarrow", "torch._inductor.compile_fx")


def python(code: str) -> str:
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=HANG, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.model
def test_a_predictor_answers_without_importing_what_it_does_not_use() -> None:
    code = (
        "import sys, mevlip\n"
        "predictor = mevlip.Predictor.load('checkpoints/demo', 'cpu')\n"
        "print(predictor.ask('Which finding? A: Cyst, B: Tumor').text)\n"
        f"print([name for name in {UNUSED} if name in sys.modules])"
    )
    answer, imported = python(code).splitlines()
    assert answer in ("A", "B")
    assert imported == "[]"


AFTERWARDS = """
import gc, os, sys, weakref
from importlib import import_module
from mevlip.core.lean_imports import import_gliclass, import_peft, import_transformers
class Dropped: pass
dropped, searches, seen = Dropped(), [], []
dropped.itself = dropped
weakref.finalize(dropped, seen.append, "collected")
del dropped
gc.callbacks.append(lambda phase, _: searches.append(phase))
for _ in range(2):
    import_peft(), import_gliclass(), import_transformers()
assert gc.isenabled() and len(searches) < 20, f"{len(searches)} searches for garbage, of hundreds without care"
assert gc.get_freeze_count() > 500_000 and seen == ["collected"]
frozen = gc.get_freeze_count()
import_peft(), import_gliclass(), import_transformers()
assert gc.get_freeze_count() <= frozen, "what is made later is not kept"
gc.callbacks.clear()
assert not {"sklearn.metrics", "scipy.optimize", "gliclass.serve"} & set(sys.modules)
assert "TORCHDYNAMO_DISABLE" not in os.environ
"""


@pytest.fixture(scope="module")
def afterwards() -> list[str]:
    """What a process prints that uses what was left out, and torch's compiler."""
    code = AFTERWARDS + (
        "candidates = import_module('transformers.generation.candidate_generator')\n"
        "losses = import_module('transformers.loss.loss_for_object_detection')\n"
        "assert candidates.is_sklearn_available()\n"
        "print(candidates.roc_curve([0, 1], [0.1, 0.9])[1].tolist())\n"
        "print([list(map(int, one)) for one in losses.linear_sum_assignment([[9, 1], [2, 9]])])\n"
        "from sklearn.metrics import accuracy_score\n"
        "print(accuracy_score([1, 0], [1, 0]))\n"
        "import torch\n"
        "assert not torch._dynamo.config.disable\n"
        "print(torch.compile(lambda x: x + 1, backend='eager')(torch.ones(1)).item())\n"
        "print(torch._dynamo.utils.counters['stats']['unique_graphs'])"
    )
    return python(code).splitlines()


def test_left_out_functions_are_imported_when_they_are_called(afterwards: list[str]) -> None:
    assert afterwards[:3] == ["[0.0, 1.0, 1.0]", "[[0, 1], [1, 0]]", "1.0"]


def test_other_code_still_compiles(afterwards: list[str]) -> None:
    assert afterwards[3:] == ["2.0", "1"]


def test_what_was_imported_before_stays() -> None:
    code = "import sklearn.metrics as before, transformers.generation.utils\n" + (
        "from mevlip.core.lean_imports import import_transformers\n"
        "import_transformers()\n"
        "import sys\n"
        "print(sys.modules['sklearn.metrics'] is before)"
    )
    assert python(code) == "True"


def test_another_function_of_a_module_that_is_left_out_is_found() -> None:
    code = (
        "import sys\n"
        "from mevlip.core import lean_imports\n"
        "with lean_imports._late('scipy.optimize', 'linear_sum_assignment'):\n"
        "    from scipy.optimize import linear_sum_assignment\n"
        "    assert 'scipy' not in sys.modules\n"
        "    from scipy.optimize import brentq\n"
        "print(brentq(lambda x: x - 3, 0, 9), sys.modules['scipy.optimize'].__spec__ is not None)"
    )
    assert python(code) == "3.0 True"
