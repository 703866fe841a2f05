"""The parity matrix: every backend against the exact value, and beside it each framework's own loss.

The modules, in the order that a number travels through them:

``cases``      one input, and the options it is called with
``families``   the inputs, by what makes them hard; ``binary``, ``linear`` and ``wide`` draw some of them
``adapter``    what the report has to know of a framework; ``discovery`` finds the adapters
``reference``  the exact loss and gradient, sharing no code with the library
``measure``    one case through one backend
``judge``      the distance of what came back from the exact value, and whether it is within bounds
``sample``     the few numbers of it that a baseline keeps
``matrix``     all cases through all backends
``baseline``   a run's numbers in a file; ``moved`` one number then and now; ``comparison`` a run beside a file
``report``     the tables; ``record`` the JSON; ``page`` the HTML; ``ending`` what all say of a run; ``cli`` the command
``snippet``    a case as a program; ``confidence`` the figure's numbers
``losses``     any two losses, against each other and the exact value; ``strategies`` draws their cases
``loss_...``   a loss of the caller's in the report: which cases fit it, its adapter, the command, what is said
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from xentropy.parity.adapter import ParityAdapter, UnavailableError
from xentropy.parity.cases import Case

if TYPE_CHECKING:
    from xentropy.parity.losses.assertion import assert_parity
    from xentropy.parity.losses.loss import Loss
    from xentropy.parity.losses.result import Agreement, ParityError

__all__ = ["Agreement", "Case", "Loss", "ParityAdapter", "ParityError", "UnavailableError", "assert_parity"]

# These need the extra `parity`, which a user of the losses alone does not have.
_LATER = {
    "assert_parity": "xentropy.parity.losses.assertion",
    "Loss": "xentropy.parity.losses.loss",
    "Agreement": "xentropy.parity.losses.result",
    "ParityError": "xentropy.parity.losses.result",
}


def __getattr__(name: str) -> Any:
    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        return getattr(import_module(_LATER[name]), name)
    except ModuleNotFoundError as error:
        raise ImportError(f'{name} needs {error.name}: pip install "xentropy-array[parity]"') from error
