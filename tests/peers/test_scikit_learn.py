"""scikit-learn's own tests of log_loss and of the "neg_log_loss" scorer, from its wheel, with ours in its place."""

from __future__ import annotations

import inspect
import os
import types
from collections.abc import Callable, Iterator
from functools import partial
from types import ModuleType
from typing import Any
from unittest import mock

import pytest
import torch

# Before SciPy is imported: scikit-learn then tests arrays of other libraries too.
os.environ.setdefault("SCIPY_ARRAY_API", "1")

from xentropy_numpy import log_loss, patched

# These modules keep the functions that they find when they are imported; and they use marks of a plug-in of theirs,
# which a strict pytest.mark refuses.
with patched(), mock.patch.object(pytest, "mark", pytest.MarkGenerator(_ispytest=True)):
    from sklearn.metrics.tests import test_classification, test_common, test_score_objects
    from sklearn.tests import test_public_functions

PEER = "scikit-learn"
DIFFERENCES: dict[str, str] = {}
NAMES = ("log_loss", "unnormalized_log_loss", "neg_log_loss", "sklearn.metrics.log_loss")


def _is_ours(value: Any) -> bool:
    """Whether a parameter of a test stands for the loss."""
    if isinstance(value, (tuple, list)):
        return any(map(_is_ours, value))
    if isinstance(value, partial):
        value = value.func
    return value is log_loss or (isinstance(value, str) and value in NAMES)


def _narrowed(mark: pytest.Mark) -> pytest.Mark:
    """A parametrisation with the loss alone, where the loss is among its values."""
    if mark.name != "parametrize":
        return mark
    names, values = mark.args[0], list(mark.args[1])
    kept = [i for i, value in enumerate(values) if _is_ours(getattr(value, "values", value))]
    kept = kept or list(range(len(values)))
    options = dict(mark.kwargs)
    if isinstance(ids := options.get("ids"), (list, tuple)):
        options["ids"] = [ids[i] for i in kept]
    return pytest.mark.parametrize(names, [values[i] for i in kept], **options).mark


def _about_the_loss(module: ModuleType) -> Iterator[tuple[str, Any]]:
    """A module's tests that mention the loss or take it as a parameter, its fixtures and its set-up."""
    for name, value in vars(module).items():
        if isinstance(value, types.FunctionType) and name.startswith("test_"):
            marks = [_narrowed(mark) for mark in getattr(value, "pytestmark", []) if mark.name != "thread_unsafe"]
            parameters = [mark.args[1] for mark in marks if mark.name == "parametrize"]
            if "log_loss" in inspect.getsource(value).replace("d2_log_loss", "") or any(map(_is_ours, parameters)):
                yield name, _copy(value, marks)
        elif type(value).__name__ == "FixtureFunctionDefinition" or name in ("setup_module", "teardown_module"):
            yield name, value


def _copy(function: Any, marks: list[pytest.Mark]) -> Callable[..., None]:
    code, scope, name = function.__code__, function.__globals__, function.__name__
    copy = types.FunctionType(code, scope, name, function.__defaults__, function.__closure__)
    copy.__dict__.update({**vars(function), "pytestmark": marks})
    return copy


for _module in (test_classification, test_common, test_score_objects, test_public_functions):
    globals().update(_about_the_loss(_module))

# Theirs are not run with warnings as errors.
pytestmark = pytest.mark.filterwarnings("default")


@pytest.fixture(autouse=True)
def ours(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    # They ask whether PyTorch is built for CUDA, and then use it, even where there is no such device.
    monkeypatch.setattr(torch.backends.cuda, "is_built", torch.cuda.is_available)
    with patched():
        yield
