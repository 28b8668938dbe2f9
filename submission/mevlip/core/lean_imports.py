"""Importing the model libraries without what prediction never uses.

What is left out is left out of these imports only: other code of the process finds everything installed, and what a
library would have imported is imported when it is first called. Nothing happens where the library is there already.

Hundreds of thousands of objects are made that all stay. Python would look for garbage among them again and again, for a
quarter of a start's time; here they are left out, while they are made and ever after.
"""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from importlib import import_module
from types import ModuleType
from typing import Any

_LATE = {"sklearn.metrics": "roc_curve", "scipy.optimize": "linear_sum_assignment"}
"""What transformers imports where it is installed: for assisted decoding, and for training detectors."""
_SERVER = "gliclass.serve"
_UNCOMPILED = "TORCHDYNAMO_DISABLE"


@contextmanager
def _to_stay(library: str) -> Iterator[None]:
    """What the block makes is never looked at for garbage, if it imports the library for the first time."""
    if library in sys.modules:
        yield
        return
    gc.collect()  # what the program has dropped so far must not stay
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        if was:
            gc.enable()


def free_dropped() -> None:
    """Frees what the program has dropped, in main memory and in torch's cache of a GPU's.

    What the imports made is looked at, too: some of it is garbage that holds the frames of all who were calling then,
    and with them what these have dropped since.
    """
    gc.unfreeze()
    gc.collect()
    if torch := sys.modules.get("torch"):
        torch.cuda.empty_cache()


@_to_stay("transformers")
def import_transformers() -> None:
    """Imports transformers without scikit-learn, scipy and pandas, which take longer than the demo takes to load."""
    with ExitStack() as stack:
        for name, function in _LATE.items():
            stack.enter_context(_late(name, function))
        for module in ("transformers.generation.utils", "transformers.modeling_utils"):
            import_module(module)


@_to_stay("gliclass")
def import_gliclass() -> None:
    """Imports gliclass without its HTTP server, which imports ray and requests where they are installed.

    gliclass goes without a server that cannot be imported; afterwards it can be.
    """
    import_transformers()
    if "gliclass" not in sys.modules:
        sys.modules[_SERVER] = None  # type: ignore[assignment]  # the import system's own sign for what is not there
        try:
            import_module("gliclass")
        finally:
            sys.modules.pop(_SERVER, None)


@_to_stay("peft")
def import_peft() -> None:
    """Imports peft, and bitsandbytes with its stand-ins for native kernels left uncompiled, as without a compiler.

    These are for devices without kernels, which are never used here; wrapping them for compilation imports torch's
    compiler.
    """
    import_transformers()  # which imports torch's graph capture; it would take the setting for the whole process
    if "bitsandbytes" not in sys.modules:
        before = os.environ.get(_UNCOMPILED)
        os.environ[_UNCOMPILED] = "1"
        try:
            import_module("bitsandbytes")
        finally:
            if before is None:
                del os.environ[_UNCOMPILED]
            else:
                os.environ[_UNCOMPILED] = before
    import_module("peft")


@contextmanager
def _late(name: str, function: str) -> Iterator[None]:
    """Lets the block import a function from a module that is only imported when the function is called."""
    if name in sys.modules:
        yield
        return

    def real() -> ModuleType:
        if sys.modules.get(name) is stand_in:
            del sys.modules[name]
        return import_module(name)

    def call(*arguments: Any, **options: Any) -> Any:
        return getattr(real(), function)(*arguments, **options)

    def other(wanted: str) -> Any:
        if wanted.startswith("__"):  # the import system asks, and may not get the real one's
            raise AttributeError(wanted)
        return getattr(real(), wanted)

    stand_in = ModuleType(name)
    setattr(stand_in, function, call)
    stand_in.__getattr__ = other  # type: ignore[method-assign]
    sys.modules[name] = stand_in
    try:
        yield
    finally:
        if sys.modules.get(name) is stand_in:
            del sys.modules[name]
