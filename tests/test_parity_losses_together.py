"""``assert_parity`` between frameworks: the own losses of those under test, and what tells them apart."""

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from harness import Subject

from xentropy.parity import Case, Loss, ParityError, assert_parity, discovery
from xentropy.parity.strategies import by_corner

ONE_SHAPE = {"rows": [3], "classes": [4], "corners": ["plain", "ties"]}


def frameworks(all_subjects: tuple[Subject, ...]) -> list[str]:
    known = discovery.registered()
    return list(dict.fromkeys(one.harness.name for one in all_subjects if one.harness.name in known))


@pytest.mark.parametrize("targets", ["indices", "probabilities"])
def test_own_losses_agree(all_subjects: tuple[Subject, ...], targets: str) -> None:
    drawn = by_corner(targets=targets, **ONE_SHAPE)
    options: dict[str, Any] = {"cases": drawn, "examples": 20, "rtol": 1e-4, "atol": 1e-6}
    names = frameworks(all_subjects)
    for name in names:
        assert_parity(name, **options)
    for one, other in pairwise(names):
        found = assert_parity(one, other, **options)
        assert found.names == (f"{one}'s own loss", f"{other}'s own loss")
        assert found.cases >= 20
        # NumPy has no derivatives.
        assert set(found.largest()) == ({"loss"} if one == "numpy" else {"loss", "gradient", "curvature"})


def ours(name: str, factor: float = 1.0) -> Loss:
    import xentropy

    return Loss(lambda z, t: factor * xentropy.cross_entropy(z, t, reduction="none"), name, name=f"ours on {name}")


def test_our_losses_agree_and_a_wrong_one_is_named(all_subjects: tuple[Subject, ...]) -> None:
    logits = np.random.default_rng(5).standard_normal((3, 4)).astype(np.float32)
    given = Case("given", logits, np.asarray([0, 3, 1], dtype=np.int32))
    for one, other in pairwise([*frameworks(all_subjects), "numpy"]):
        assert_parity(ours(one), ours(other), cases=given)
        with pytest.raises(ParityError, match=f"ours on {one}.* and ours on {other}.* differ in the ") as caught:
            assert_parity(ours(one), ours(other, 1.5), cases=given)
        assert caught.value.gap is not None
        assert caught.value.gap.wrong == (False, True)
        assert caught.value.case.logits.shape == (1, 2)
