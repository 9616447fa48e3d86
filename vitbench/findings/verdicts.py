"""What the comparisons behind a claim say of it: confirmed, refuted, not resolved or not run. Pure functions.

A claim over several rows holds where each of its comparisons does. To confirm it, each must be significant at the full
level: an intersection-union test, which needs no correction (R. L. Berger, "Multiparameter hypothesis testing and
acceptance sampling", Technometrics 24 (1982): the claim is called true by mistake only if a comparison that is false is
called true, with the chance of that one test). To refute it, one comparison that is significantly contrary is enough,
and of several tests one may be so by chance: the level is shared among all that the claim states, which is the first
step of Holm's correction, and no later step could change the answer.

About equal: the two one-sided tests of D. J. Schuirmann, "A comparison of the two one-sided tests procedure and the
power approach", Journal of Pharmacokinetics and Biopharmaceutics 15 (1987), here by the whole 95 % interval, which is
stricter than theirs of 90 %.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from vitbench.findings.statements import Claim
from vitbench.leaderboard.paired import LEVEL, PairedDifference

__all__ = ["EXIT_CODES", "ClaimOutcome", "Sign", "outcome_of", "sign_of"]

ClaimOutcome = Literal["refuted", "not run", "not resolved", "confirmed"]
EXIT_CODES: dict[ClaimOutcome, int] = {"refuted": 10, "not run": 11, "not resolved": 13, "confirmed": 0}
"""What `vitbench findings` ends with, the first of them that occurs."""
Sign = Literal["for", "against", "open"]
"""What one comparison says of a claim."""


def sign_of(claim: Claim, paired: PairedDifference | None, *, margin: float, higher: bool, tests: int) -> Sign:
    """Return what one comparison says of its claim.

    Args:
        claim: what is tested.
        paired: the value of the claim's row minus that of the row it is compared with; None where nothing is known of
            the same images.
        margin: of the claim, in the metric's own unit.
        higher: whether higher values are better.
        tests: comparisons that the claim states.
    """
    if paired is None:
        return "open"
    if claim.relation == "equal":
        inside, outside = paired.interval(LEVEL), paired.interval(LEVEL / tests)
        if inside is not None and -margin < inside[0] and inside[1] < margin:
            return "for"
        beyond = outside is not None and (outside[0] > margin or outside[1] < -margin)
        return "against" if beyond else "open"
    if paired.p_value > LEVEL or not paired.value:
        return "open"
    if (paired.value > 0) == higher:
        return "for"
    return "against" if paired.p_value <= LEVEL / tests else "open"


def outcome_of(signs: Sequence[Sign], *, tests: int) -> ClaimOutcome:
    """Return what the comparisons that could be made come to.

    Args:
        signs: of each comparison whose rows are there.
        tests: comparisons that the claim states; of rows that are missing, too.
    """
    if "against" in signs:
        return "refuted"
    if len(signs) < tests:
        return "not run"
    return "confirmed" if all(sign == "for" for sign in signs) else "not resolved"
