"""Whether two losses of anybody's compute the same thing: ``assert_parity``, and what it is made of.

``loss``       a loss, and whose arrays it takes; ``named`` the others that can be named
``subject``    one side of a comparison, and what comes out of it for a case; ``reduction`` what of it is compared
``given``      the cases, and what has to hold of each
``expected``   the exact loss, gradient and curvature of a case
``tolerance``  how far apart numbers may be
``compare``    the sides on one case; ``comparison`` on many
``smallest``   the smallest case that still fails, and fails ``alike``
``failure``    what is said of it
``result``     the error, or what was seen
``assertion``  the function
"""
