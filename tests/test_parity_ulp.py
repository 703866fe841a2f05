import numpy as np
import pytest

from xentropy.parity.ulp import PRECISION, distance, ulp


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_ulp_is_the_gap_to_the_next_number(dtype: str) -> None:
    info = np.finfo(dtype)
    exponents = np.linspace(np.log2(float(info.smallest_subnormal)) + 0.5, np.log2(float(info.max)) - 1, 200)
    values = np.append(np.exp2(exponents), 0.0).astype(dtype)
    expected = np.spacing(values).astype(np.float64)
    np.testing.assert_array_equal(ulp(values.astype(np.float64), dtype), expected)
    np.testing.assert_array_equal(ulp(-values.astype(np.float64), dtype), expected)


def test_ulp_of_bfloat16_has_eight_bits() -> None:
    assert PRECISION["bfloat16"] == 8
    np.testing.assert_array_equal(
        ulp(np.asarray([1.0, 1.99, 2.0, 1e-45]), "bfloat16"), [2**-7, 2**-7, 2**-6, 2.0**-133]
    )


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_neighbours_are_one_ulp_apart(dtype: str) -> None:
    exact = np.asarray([0.3, 1e-30, 12345.6], dtype=dtype)
    away = np.nextafter(exact, np.asarray(np.inf, dtype=dtype))
    np.testing.assert_array_equal(distance(away, exact.astype(np.float64), 0.0, dtype), [1.0, 1.0, 1.0])


def test_a_larger_scale_is_what_distances_are_in_units_of() -> None:
    found = distance(
        np.asarray([1.0, -1.0, 8.0]), np.asarray([0.0, 0.0, 4.0]), 0.0, "float32", np.asarray([2.0, 2.0, 2.0])
    )
    np.testing.assert_array_equal(found, [2.0**22, 2.0**22, 2.0**23])


def test_tail_carries_what_a_double_cannot() -> None:
    exact = np.asarray([1.0])
    half = np.asarray([2.0**-53])
    np.testing.assert_array_equal(distance(exact, exact, half, "float64"), [0.5])
    np.testing.assert_array_equal(distance(np.asarray([1 + 2.0**-52]), exact, half, "float64"), [0.5])


def test_values_that_are_not_finite_are_hit_or_missed() -> None:
    nan, inf = np.nan, np.inf
    computed = np.asarray([nan, inf, -inf, nan, inf, 1.0, 1.0], dtype=np.float32)
    exact = np.asarray([nan, inf, inf, 1.0, 1.0, nan, inf])
    expected = [0.0, 0.0, inf, inf, inf, inf, inf]
    np.testing.assert_array_equal(distance(computed, exact, 0.0, "float32"), expected)


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_the_neighbour_of_zero_is_the_smallest_number(dtype: str) -> None:
    assert ulp(np.asarray([0.0, -0.0]), dtype).tolist() == [float(np.nextafter(np.dtype(dtype).type(0), 1))] * 2
