"""A probe on the framework's own loss, on ours until one says the same, and on the drop-in."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from xentropy.conventions.outcome import Outcome, SlipError, agreement, evaluate, told
from xentropy.conventions.probe import QUESTIONS, Framework, Probe, Raises


@dataclass(frozen=True)
class Trial:
    """One possible answer.

    Attributes:
        answer: in words.
        ours: the expression of ours, empty where the answer is that the framework refuses.
        outcome: what ours came to.
        ulp: how far that is from the framework's own, None where it is not the same.
    """

    answer: str
    ours: str
    outcome: Outcome | None
    ulp: float | None


@dataclass(frozen=True)
class Finding:
    """What one probe found.

    Attributes:
        probe: the probe.
        theirs: what the framework's own loss says.
        trials: the answers that were tried; where one is right it is the last.
        drop_in: what ours by the framework's names say; None where there are none.
        drop_in_ulp: how far that is from the framework's own, None where it is not the same.
        fault: why the probe could not be run as it was meant; empty where it was.
    """

    probe: Probe
    theirs: Outcome
    trials: tuple[Trial, ...] = ()
    drop_in: Outcome | None = None
    drop_in_ulp: float | None = None
    fault: str = ""

    @property
    def right(self) -> Trial | None:
        """The answer that is right; None where nothing of ours says what the framework says."""
        return self.trials[-1] if self.trials and self.trials[-1].ulp is not None else None

    @property
    def nearest(self) -> Trial | None:
        """Where no answer is right, the first that is a call of ours."""
        return None if self.right else next((trial for trial in self.trials if trial.ours), None)

    @property
    def answer(self) -> str:
        """The right answer in words; empty where nothing of ours says what the framework says."""
        return self.right.answer if self.right else self.theirs.words


class Inquiry:
    """A framework that can be asked.

    Args:
        framework: the framework.
    """

    def __init__(self, framework: Framework) -> None:
        self.framework = framework

    def findings(self) -> Iterator[Finding]:
        """Every probe's, in the order of the questions."""
        order = list(QUESTIONS)
        for probe in sorted(self.framework.probes, key=lambda one: order.index(one.convention)):
            yield self.finding(probe)

    def finding(self, probe: Probe) -> Finding:
        """What one probe finds; an error that was not to be expected is its fault."""
        try:
            return self._finding(probe)
        except Exception as error:
            fault = str(error) if isinstance(error, SlipError) else told(error)
            return Finding(probe, Outcome(), fault=fault)

    def trials(self, probe: Probe, theirs: Outcome) -> Iterator[Trial]:
        """Every answer of the probe, tried on what the framework says."""
        for answer, ours in probe.answers.items():
            if isinstance(ours, Raises):
                refused = bool(theirs.error) and re.search(ours.pattern, theirs.error) is not None
                yield Trial(answer, "", None, 0.0 if refused else None)
            else:
                outcome = self._run(self.framework.own, probe, ours)
                yield Trial(answer, ours, outcome, agreement(theirs, outcome))

    def _finding(self, probe: Probe) -> Finding:
        theirs = self._run(self.framework.own, probe, probe.call)
        tried = []
        for trial in self.trials(probe, theirs):
            tried.append(trial)
            if trial.ulp is not None:
                break
        ours = self.framework.drop_in
        drop_in = self._run(ours, probe, probe.call) if ours else None
        ulp = None if drop_in is None else agreement(theirs, drop_in)
        fault = theirs.error if theirs.error and not _may_fail(tried) else ""
        return Finding(probe, theirs, tuple(tried), drop_in, ulp, fault)

    def _run(self, losses: str, probe: Probe, source: str) -> Outcome:
        # All of it anew, so that a loss that writes to its arguments is not seen by the next.
        namespace: dict[str, Any] = {}
        for before in (losses, self.framework.arrays, probe.given):
            exec(before, namespace)
        return evaluate(source, namespace, self.framework.adapter)


def _may_fail(trials: list[Trial]) -> bool:
    """Whether an error is an answer at all: one of ours is, or a refusal is the right one."""
    failed = any(trial.outcome is not None and trial.outcome.error for trial in trials)
    return failed or any(trial.ulp is not None for trial in trials)
