"""The report as one HTML file that asks nothing of any network.

``cells``        a framework's cell of the matrix: its numbers, and where the worst of them is
``reproduction`` the row of that place, and the program that gives its number again
``figure``       the geometry of the error against confidence
``held``         what the page is told of a loss that was held against another
``content``      all of it as the template wants it; ``write`` fills the template in
"""

from xentropy.parity.page.held import Distance, Held, HeldRow
from xentropy.parity.page.write import write

__all__ = ["Distance", "Held", "HeldRow", "write"]
