"""Log-sum-exp, log-probability of the label and entropy of rows whose classes are in several parts.

Beside its ``shards.Record``, a part says of every row

    below    the sum of exp(x_j - top) (top - x_j) over its classes

With m the largest top, d = m - top of each part, and Z as in ``xentropy.shards``,

    entropy = log Z + (sum over parts of exp(-d) (below + d (1 + excess))) / Z

where every term is >= 0, as in ``xentropy.tokens``.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from xentropy import shards
from xentropy.rule import Arrays
from xentropy.shards import Record
from xentropy.softmax import activate, masked_rows

if TYPE_CHECKING:
    from xentropy.backend import Backend
    from xentropy.options import SoftmaxOptions

Array = Any


def forward(backend: Backend, options: SoftmaxOptions, arrays: Arrays, constants: Arrays) -> Arrays:
    """The fields of a part's ``Record``, then ``below``; ``constants`` are those of ``shards.forward``."""
    *fields, largest = shards.forward(backend, options, arrays, constants)
    if backend.shape(arrays[0])[-1] == 0:
        return *fields, fields[1]
    x = activate(backend, options, masked_rows(backend, options, arrays[0], constants)).logits
    xp = backend.namespace(x)
    top = backend.pick(x, largest)
    # As in ``shards``: 0 where there is nothing above -inf.
    distance = xp.where(top == -math.inf, 0.0, top)[:, None] - x
    shrunk = xp.exp(-distance)
    return *fields, backend.dot(shrunk, xp.where(shrunk == 0.0, 0.0, distance))


def merge(backend: Backend, options: SoftmaxOptions, parts: Record, below: Array, dtype: Any) -> Arrays:
    """The three numbers of rows whose parts are given, (rows, parts) a field; ``dtype`` is that of the logits."""
    xp = backend.namespace(parts.top)
    places = shards.places_of(backend, options, parts)
    outcome = shards.merge(backend, options, parts, 0, None, dtype)
    shrunk = shards.shrunk_by(backend, parts, places)
    apart = below + places.distance * (1.0 + parts.excess)
    curved = backend.total(shrunk * apart)
    log_normalizer = outcome.merged.log_normalizer
    lse = backend.quotient(places.largest, 0.0, options.temperature) + log_normalizer
    outputs = lse, -outcome.loss, log_normalizer + curved / outcome.merged.normalizer
    return tuple(xp.astype(output, dtype, copy=False) for output in outputs)
