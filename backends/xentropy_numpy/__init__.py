"""The NumPy backend of xentropy, and scikit-learn's log loss on top of the core, for arrays of any library.

>>> import xentropy_numpy
>>> print(round(xentropy_numpy.log_loss([0, 1], [[0.7, 0.3], [0.2, 0.8]]), 4))
0.2899
"""

from xentropy_numpy.checks import InvalidParameterError
from xentropy_numpy.classification import log_loss
from xentropy_numpy.patching import patch, patched, unpatch

__all__ = ["InvalidParameterError", "log_loss", "patch", "patched", "unpatch"]
