"""One module a library, each with ``PACKAGES``, ``MODES`` and ``contenders()``."""
