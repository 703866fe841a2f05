"""What the tests of ``xentropy explain`` ask of every framework's probes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from itertools import combinations

import numpy as np
from conventions import readme_column

from xentropy.conventions import discovery
from xentropy.conventions.measure import Finding, Inquiry
from xentropy.conventions.outcome import agreement
from xentropy.conventions.probe import QUESTIONS

Told = Mapping[str, tuple[str, Mapping[str, str]]]
"""By convention: the README's cell, and the answer in words of every case that it speaks of."""

FIVE_ROWS = """
for name in set("abhmpqstuvxyz") & set(globals()):
    globals()[name] = {}([globals()[name], globals()[name], globals()[name][:1]])
"""
"""Repeats what a probe has two rows of; ``{}`` joins arrays."""


class Explained:
    """A framework's findings."""

    def __init__(self, name: str) -> None:
        self.inquiry = Inquiry(discovery.load(name))
        self.findings = list(self.inquiry.findings())

    def answer(self, convention: str, case: str = "") -> str:
        return self.finding(convention, case).answer

    def finding(self, convention: str, case: str = "") -> Finding:
        (found,) = (one for one in self.findings if (one.probe.convention, one.probe.case) == (convention, case))
        return found

    def unanswered(self) -> set[tuple[str, str]]:
        """The probes that nothing of ours answers."""
        return {(one.probe.convention, one.probe.case) for one in self.findings if not one.answer}

    def differing(self) -> set[tuple[str, str]]:
        """The probes that the drop-in answers otherwise."""
        return {(one.probe.convention, one.probe.case) for one in self.findings if one.drop_in_ulp is None}

    def assert_sound(self, without: Iterable[str] = ()) -> None:
        """Every question is asked, every probe runs, and no two of its answers are the same."""
        assert [one.fault for one in self.findings if one.fault] == []
        asked = {one.probe.convention for one in self.findings}
        assert asked == set(QUESTIONS) - set(without)
        names = [(one.probe.convention, one.probe.case) for one in self.findings]
        assert len(names) == len(set(names))
        for finding in self.findings:
            trials = [trial for trial in self.inquiry.trials(finding.probe, finding.theirs) if trial.outcome]
            for trial in trials:
                kind = trial.outcome.error.partition(":")[0]
                assert kind in {"", "IndexError", "ValueError"}, (finding.probe, trial)
            for one, other in combinations(trials, 2):
                assert agreement(one.outcome, other.outcome) is None, (finding.probe, one.answer, other.answer)

    def assert_true_of_any_batch(self, join: str) -> None:
        """What an answer is of a probe's rows, it is of more of them; ``join`` joins arrays."""
        more = FIVE_ROWS.format(join)
        for right, probe in ((finding.right, finding.probe) for finding in self.findings if finding.right):
            answer = {right.answer: probe.answers[right.answer]}
            found = self.inquiry.finding(replace(probe, answers=answer, given=f"{probe.given}{more}"))
            if found.right is None and found.nearest is not None and found.nearest.outcome is not None:
                # Means of more rows in float32, as numbers of Python's own, are not as near as two of one row.
                ours = found.nearest.outcome.values
                np.testing.assert_allclose(ours, found.theirs.values, rtol=1e-6, err_msg=str(probe))
            else:
                assert (found.answer, found.fault) == (right.answer, ""), probe

    def assert_as_in_the_readme(self, column: str, told: Told) -> None:
        """The README's cells are these, and the answers that stand beside them are those that were found."""
        assert readme_column(column) == {convention: cell for convention, (cell, _) in told.items()}
        expected = {(name, case): answer for name, (_, cases) in told.items() for case, answer in cases.items()}
        assert {key: self.answer(*key) for key in expected} == expected


NO_OPTION = "there is no such option"
EMPTY, NO_ROWS = "an empty array", "NaN, 0 divided by 0 rows"
SMOOTHED = "(1 - ε) t + ε/C"
