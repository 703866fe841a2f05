"""The patch itself, on modules made for the purpose."""

from __future__ import annotations

import types
import warnings

import pytest

from xentropy.patching import Patch


def module(**names: object) -> types.ModuleType:
    made = types.ModuleType("made")
    vars(made).update(names)
    return made


def test_attributes_and_items_are_replaced_and_put_back() -> None:
    owner, table = module(loss="theirs"), {"loss": "theirs"}
    with Patch(lambda: [(owner, "loss", "ours"), (table, "loss", "ours")]).patched():
        assert (owner.loss, table["loss"]) == ("ours", "ours")
    assert (owner.loss, table["loss"]) == ("theirs", "theirs")


def test_an_exception_puts_everything_back() -> None:
    owner = module(loss="theirs")
    with pytest.raises(KeyError), Patch(lambda: [(owner, "loss", "ours")]).patched():
        raise KeyError
    assert owner.loss == "theirs"


def test_a_patch_that_fails_half_way_leaves_nothing() -> None:
    owner = module(loss="theirs")
    patch = Patch(lambda: [(owner, "loss", "ours"), (owner, "missing", "ours")])
    with pytest.raises(AttributeError, match="missing"):
        patch.patch()
    assert owner.loss == "theirs"
    with pytest.raises(RuntimeError, match="nothing is patched"):
        patch.unpatch()


def test_blocks_nest() -> None:
    owner = module(loss="theirs")
    patch = Patch(lambda: [(owner, "loss", "ours")])
    patch.patch()
    with patch.patched():
        pass
    assert owner.loss == "ours"
    patch.unpatch()
    assert owner.loss == "theirs"


def test_a_name_that_a_module_computes_is_not_left_in_it() -> None:
    owner = module(__getattr__=lambda name: "computed")
    with Patch(lambda: [(owner, "loss", "ours")]).patched():
        assert owner.loss == "ours"
    assert "loss" not in vars(owner)
    assert owner.loss == "computed"


def test_the_same_place_twice_is_put_back() -> None:
    owner = module(loss="theirs")
    with Patch(lambda: [(owner, "loss", "ours"), (owner, "loss", "ours")]).patched():
        pass
    assert owner.loss == "theirs"


def test_a_warning_that_is_an_error_leaves_nothing_patched() -> None:
    owner = module(first="theirs", second="theirs")
    patch = Patch(lambda: [(owner, "first", "ours"), (owner, "second", "ours")])
    patch.patch()
    owner.second = "a third's"
    warnings.simplefilter("error")  # pytest puts the filters back
    with pytest.raises(RuntimeWarning, match=r"made\.second"):
        patch.unpatch()
    assert (owner.first, owner.second) == ("theirs", "a third's")


def test_what_somebody_else_put_there_meanwhile_stays() -> None:
    owner = module(loss="theirs")
    patch = Patch(lambda: [(owner, "loss", "ours")])
    patch.patch()
    owner.loss = "a third's"
    with pytest.warns(RuntimeWarning, match=r"made\.loss was replaced again while patched"):
        patch.unpatch()
    assert owner.loss == "a third's"


def test_unpatch_needs_a_patch() -> None:
    with pytest.raises(RuntimeError, match="nothing is patched"):
        Patch(list).unpatch()
