"""One engine and one image for all tests that need them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from mevlip.core.errors import ExitCode
from tests.conftest import DEMO, ROOT, run_mevlip
from tests.release.private_engine import EngineAbsent, PrivateEngine, private_engine

TAG = "me-vlip-test:latest"


@pytest.fixture(scope="session")
def engine() -> Iterator[PrivateEngine]:
    """A running engine, named by DOCKER_HOST; without one the whole run ends with status 7."""
    work = Path(os.environ.get("MEVLIP_ENGINE_DIR", ROOT / "build/engine"))
    try:
        with private_engine(work) as found:
            before = os.environ.get("DOCKER_HOST")
            if found.url:
                os.environ["DOCKER_HOST"] = found.url
            yield found
            os.environ.pop("DOCKER_HOST", None) if before is None else os.environ.update(DOCKER_HOST=before)
    except EngineAbsent as error:
        pytest.exit(f"the image was not tested: {error}", returncode=ExitCode.NO_ENGINE)


@pytest.fixture(scope="session")
def image(engine: PrivateEngine) -> str:
    """The tag of an image around the demo checkpoint, built by the command."""
    done = run_mevlip("image", "build", "--tag", TAG, "--checkpoint", DEMO, *engine.build_options, cwd=ROOT)
    assert done.returncode == 0, done.stderr[-3000:]
    print(done.stdout)
    return TAG
