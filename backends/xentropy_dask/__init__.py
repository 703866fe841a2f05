"""The Dask backend of xentropy, and scikit-learn's log loss of probabilities that are larger than memory.

>>> import dask.array as da
>>> import xentropy_dask
>>> p = da.from_array([[0.7, 0.3], [0.2, 0.8]], chunks=1)
>>> print(round(float(xentropy_dask.log_loss([0, 1], p)), 4))
0.2899
"""

from xentropy_dask.classification import log_loss

__all__ = ["log_loss"]
