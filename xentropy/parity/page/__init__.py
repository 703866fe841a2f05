"""The report as one HTML file that asks nothing of any network.

``cells``        a framework's cell of the matrix: its numbers, and where the worst of them is
``reproduction`` the row of that place, and the program that gives its number again
``figure``       the geometry of the error against confidence
``content``      all of it as the template wants it; ``write`` fills the template in
"""

from xentropy.parity.page.write import write

__all__ = ["write"]
