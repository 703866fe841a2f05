"""``patched``: this package's losses in the place of Keras's own."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import Any

import keras
from keras.src import api_export
from keras.src.saving import object_registration

from xentropy.patching import Patch, Place
from xentropy_keras import losses
from xentropy_keras.binary import binary_crossentropy, binary_focal_crossentropy
from xentropy_keras.categorical import categorical_crossentropy, categorical_focal_crossentropy
from xentropy_keras.sparse import sparse_categorical_crossentropy

_FUNCTIONS = (
    binary_crossentropy,
    binary_focal_crossentropy,
    categorical_crossentropy,
    categorical_focal_crossentropy,
    sparse_categorical_crossentropy,
)
_CLASSES = (
    losses.BinaryCrossentropy,
    losses.BinaryFocalCrossentropy,
    losses.CategoricalCrossentropy,
    losses.CategoricalFocalCrossentropy,
    losses.SparseCategoricalCrossentropy,
)


def _places() -> list[Place]:
    # All of them before any is replaced: they are found by what is there.
    pairs = [(getattr(keras.losses, own.__name__), own) for own in (*_FUNCTIONS, *_CLASSES)]
    modules = [module for name, module in list(sys.modules.items()) if name.partition(".")[0] == "keras"]
    ours = {id(theirs): own for theirs, own in pairs}
    return [place for module in modules for place in _places_in(module, ours)] + _serialization(pairs)


def _places_in(module: Any, ours: dict[int, Any]) -> Iterator[Place]:
    """The module's own names for Keras's losses, and the items of its dictionaries that are."""
    for name, value in list(vars(module).items()):
        own = ours.get(id(value))
        # A class stays where it is defined: there, pickle looks for the class of instances that were made before.
        if own is not None and not (isinstance(value, type) and value.__module__ == module.__name__):
            yield module, name, own
        if type(value) is dict and not name.startswith("__"):
            yield from ((value, key, ours[id(item)]) for key, item in list(value.items()) if id(item) in ours)


def _serialization(pairs: list[tuple[Any, Any]]) -> list[Place]:
    """Ours are saved under Keras's names, so that what is saved while patched loads where nothing is patched."""
    registered = api_export.get_name_from_symbol
    names = {own: registered(theirs) for theirs, own in pairs}

    def get_name_from_symbol(symbol: Any) -> Any:
        return names.get(symbol) or registered(symbol)

    custom: dict[Any, Any] = object_registration.GLOBAL_CUSTOM_NAMES
    functions: tuple[Any, ...] = _FUNCTIONS
    return [
        (api_export, "get_name_from_symbol", get_name_from_symbol),
        # What .h5 files name losses by.
        *((custom, own, own.__name__) for own in (*functions, *_CLASSES)),
    ]


_patch = Patch(_places)


def patch() -> None:
    """Put this package's losses in the place of Keras's, for the whole process, until ``unpatch``.

    That is everywhere in Keras: ``keras.losses``, the functions of ``keras.metrics`` and the metrics that use them,
    what names such as "sparse_categorical_crossentropy" stand for in ``compile``, ``keras.losses.get`` and
    ``keras.losses.deserialize``, and ``tf.keras`` where it is loaded. Losses made before keep what they had. Models
    that are saved while patched say that their losses are Keras's, and load with or without the patch; but a loss of
    KerasTensors, inside a functional model, is saved as this package's.
    """
    _patch.patch()


def unpatch() -> None:
    """Take back one ``patch``; the last one leaves Keras as it was.

    Raises:
        RuntimeError: nothing is patched.
    """
    _patch.unpatch()


def patched() -> AbstractContextManager[None]:
    """``patch`` on entry, ``unpatch`` on exit; nests.

    Example:
        >>> import keras
        >>> with patched():
        ...     print(keras.losses.get("sparse_categorical_crossentropy").__module__)
        xentropy_keras.sparse
        >>> keras.losses.get("sparse_categorical_crossentropy").__module__
        'keras.src.losses.losses'
    """
    return _patch.patched()
