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
``report``     the tables; ``record`` the JSON; ``cli`` the command
"""

from xentropy.parity.adapter import ParityAdapter, UnavailableError
from xentropy.parity.cases import Case

__all__ = ["Case", "ParityAdapter", "UnavailableError"]
