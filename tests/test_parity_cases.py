import struct
from importlib.resources import files

import numpy as np
import pytest

from xentropy.parity.cases import Case, round_to
from xentropy.parity.digits import load_digits
from xentropy.parity.families import FAMILIES


def arrays_of(given: Case) -> list[bytes]:
    weights = (given.class_weight, given.sample_weight, given.pos_weight)
    return [array.tobytes() for array in (given.logits, given.targets, *weights) if array is not None]


def test_the_families_that_the_report_promises() -> None:
    assert list(FAMILIES) == [
        *("examples", "digits", "confident", "offset", "many-classes", "soft", "weighted", "ignored", "smoothing"),
        *("minus-inf", "binary", "probabilities", "linear", "float16", "bfloat16", "float64", "precision"),
    ]


@pytest.mark.parametrize("family", FAMILIES.values(), ids=list(FAMILIES))
def test_a_seed_gives_the_same_cases_every_time(family) -> None:
    once, again = family.cases(3), family.cases(3)
    assert [one.name for one in once] == [one.name for one in again]
    assert [arrays_of(one) for one in once] == [arrays_of(one) for one in again]
    assert len({one.name for one in once}) == len(once)


def test_another_seed_gives_other_cases() -> None:
    drawn = {name for name in FAMILIES if name not in ("examples", "digits")}
    for name in drawn:
        once, other = FAMILIES[name].cases(0), FAMILIES[name].cases(1)
        assert any(arrays_of(a) != arrays_of(b) for a, b in zip(once, other, strict=True)), name


@pytest.mark.parametrize("family", FAMILIES.values(), ids=list(FAMILIES))
def test_every_number_is_exact_in_its_dtype(family) -> None:
    for given in family.cases(0):
        assert given.logits.dtype == given.wide_dtype
        np.testing.assert_array_equal(round_to(given.logits, given.dtype), given.logits)
        if given.soft:
            assert given.targets.dtype == given.wide_dtype
            np.testing.assert_array_equal(round_to(given.targets, given.dtype), given.targets)
        else:
            assert given.targets.dtype == np.int32


def test_sizes_reach_a_million_classes() -> None:
    assert max(given.logits.shape[1] for given in FAMILIES["many-classes"].cases(0)) == 1_000_000


def test_bfloat16_rounds_to_nearest_even() -> None:
    def bits(number: int) -> float:
        return struct.unpack("<f", struct.pack("<I", number))[0]

    values = [0x3F808000, 0x3F818000, 0x3F807FFF, 0x3F808001, 0xBF808001, 0x7F800000, 0x00018000]
    expected = [0x3F800000, 0x3F820000, 0x3F800000, 0x3F810000, 0xBF810000, 0x7F800000, 0x00020000]
    given = np.asarray([bits(number) for number in values], dtype=np.float32)
    np.testing.assert_array_equal(
        round_to(given, "bfloat16"), np.asarray([bits(n) for n in expected], dtype=np.float32)
    )
    assert np.isnan(round_to(np.asarray([np.nan], dtype=np.float32), "bfloat16")).all()


def test_digits_are_the_uci_test_set_seen_by_a_classifier_that_works() -> None:
    data = load_digits()
    assert data.logits.shape == (1797, 10)
    assert data.logits.dtype == np.float32
    assert np.isfinite(data.logits).all()
    # The class counts of the published test set.
    assert np.bincount(data.labels).tolist() == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]
    right = data.logits.argmax(axis=1) == data.labels
    assert data.held_out.sum() == 899
    assert right[~data.held_out].mean() == 1.0
    assert 0.95 < right[data.held_out].mean() < 1.0


def test_digits_are_read_only() -> None:
    with pytest.raises(ValueError, match="read-only"):
        load_digits().logits[0] = 0


def test_digits_ship_small_with_source_and_licence() -> None:
    data = files("xentropy.parity") / "data"
    assert len((data / "digits.npz").read_bytes()) < 500_000
    notice = (data / "README.md").read_text(encoding="utf-8")
    for due in ("Alpaydin", "10.24432/C50P49", "creativecommons.org/licenses/by/4.0", "tools/make_digits.py"):
        assert due in notice
