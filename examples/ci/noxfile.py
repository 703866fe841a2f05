"""``nox -s parity``, here and in CI; ``nox -s baseline`` after an upgrade that may move numbers."""

import os

import nox

nox.options.default_venv_backend = "uv"
nox.options.sessions = ["parity"]

# On no package index yet: a path or a git address in place of the name, with [parity].
XENTROPY = os.environ.get("XENTROPY_SOURCE", "xentropy-array[parity]")
FRAMEWORKS = ["torch", "jax"]
BASELINE = "parity-baseline.json"
# The kinds of input that this team has; `xentropy parity --list` says what there is.
FAMILIES = "--families=digits,confident,offset,soft"


@nox.session
def parity(session: nox.Session) -> None:
    """The losses agree, and so do their frameworks with the numbers they gave when the baseline was saved."""
    session.install(XENTROPY, "pytest", *FRAMEWORKS)
    session.run("pytest", "--junit-xml=parity.xml", *session.posargs)
    session.run("xentropy", "parity", FAMILIES, f"--compare={BASELINE}", "--html=parity.html")


@nox.session
def baseline(session: nox.Session) -> None:
    """What moved since, and the new baseline to commit."""
    session.install(XENTROPY, *FRAMEWORKS)
    compared = [f"--compare={BASELINE}"] if os.path.exists(BASELINE) else []
    session.run("xentropy", "parity", FAMILIES, *compared, f"--save={BASELINE}", success_codes=[0, 1])
