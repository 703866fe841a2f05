"""scikit-learn with ours in place of its log loss, and without a trace of it afterwards."""

from __future__ import annotations

import pickle
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
import sklearn.metrics
from sklearn.dummy import DummyClassifier
from sklearn.metrics import _scorer, get_scorer
from sklearn.model_selection import cross_val_score

import xentropy_numpy as ours


def held() -> dict[tuple[str, str], Any]:
    """Everything that the loaded modules of scikit-learn hold."""
    modules = {name: module for name, module in sys.modules.items() if f"{name}.".startswith("sklearn.")}
    return {(name, key): value for name, module in modules.items() for key, value in list(vars(module).items())}


def test_every_place_is_patched_and_put_back() -> None:
    theirs, before, scorers = sklearn.metrics.log_loss, held(), dict(_scorer._SCORERS)
    places = {place for place, value in before.items() if value is theirs}
    assert {(f"sklearn.metrics{module}", "log_loss") for module in ("", "._classification", "._scorer")} <= places
    with ours.patched():
        during = held()
        assert {place for place, value in during.items() if value is not before[place]} == places
        assert all(during[place] is ours.log_loss for place in places)
        assert get_scorer("neg_log_loss")._score_func is ours.log_loss
    after = held()
    assert after.keys() == before.keys()
    assert all(after[place] is before[place] for place in before)
    assert get_scorer("neg_log_loss")._score_func is theirs
    assert dict(_scorer._SCORERS) == scorers
    assert vars(_scorer._SCORERS["neg_log_loss"])["_score_func"] is theirs


def test_an_exception_puts_everything_back() -> None:
    before = sklearn.metrics.log_loss
    with pytest.raises(RuntimeError, match="from inside"), ours.patched():
        raise RuntimeError("from inside")
    assert sklearn.metrics.log_loss is before


def test_patch_and_unpatch_nest() -> None:
    before = sklearn.metrics.log_loss
    ours.patch()
    with ours.patched():
        pass
    assert sklearn.metrics.log_loss is ours.log_loss
    ours.unpatch()
    assert sklearn.metrics.log_loss is before
    with pytest.raises(RuntimeError):
        ours.unpatch()


def test_the_scorer_scores_with_ours() -> None:
    x, y = np.zeros((12, 1)), np.array([0, 1, 1] * 4)
    model = DummyClassifier(strategy="prior")
    expected = cross_val_score(model, x, y, scoring="neg_log_loss", cv=2)
    with ours.patched():
        found = cross_val_score(model, x, y, scoring="neg_log_loss", cv=2)
        assert repr(get_scorer("neg_log_loss")).startswith("make_scorer(log_loss,")
        scorer = pickle.loads(pickle.dumps(get_scorer("neg_log_loss")))
    np.testing.assert_allclose(found, expected, rtol=1e-13)
    # A scorer that was made while patched goes on with ours.
    np.testing.assert_allclose(scorer(model.fit(x, y), x, y), -np.log(1.5) * 2 / 3 - np.log(3.0) / 3, rtol=1e-13)


def test_the_package_imports_no_scikit_learn() -> None:
    script = "import sys, xentropy_numpy; print('sklearn' in sys.modules)"
    assert (
        subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout == "False\n"
    )
