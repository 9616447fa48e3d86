"""The errors that vitbench raises on purpose: each is one sentence for the user, and an exit code."""

from __future__ import annotations

LONGEST = 1000
"""Characters of a reason that are kept: a plugin's error may hold whole arrays."""


class VitbenchError(Exception):
    """A mistake or something missing that the user can fix; the message says what is wrong and what to do.

    A plugin's function may also raise it or one of its subclasses: the message is shown as it is.
    """

    exit_code = 1
    """The exit code of the command; each kind of error has its own."""


class UsageError(VitbenchError):
    """An unknown name, a wrong option, a wrong suite file; in a plugin's function, options that are incompatible."""

    exit_code = 2


class UnusableError(VitbenchError):
    """Data, a device, the network or a plugin that is missing or cannot be used."""

    exit_code = 3


class StoreError(VitbenchError):
    """The output folder or the store in it cannot be used."""

    exit_code = 4


class NothingSelectedError(VitbenchError):
    """The selection leaves no cell to run."""

    exit_code = 5


def error_of(exit_code: int, message: str) -> VitbenchError:
    """Return the error that has an exit code, for what another process refused; UnusableError where none has."""
    kinds: tuple[type[VitbenchError], ...] = (UsageError, UnusableError, StoreError, NothingSelectedError)
    return next((kind for kind in kinds if kind.exit_code == exit_code), UnusableError)(message)


class Skip(Exception):  # noqa: N818 - a word that a plugin says, not a fault
    """Raised by a metric or a figure that does not apply to a subject; its message is the reason that is recorded."""


def did_you_mean(name: str, candidates: object) -> str:
    """Return `` Did you mean "x"?`` for the closest candidate, or an empty string."""
    import difflib

    names = [str(candidate) for candidate in candidates]  # type: ignore[attr-defined]
    close = difflib.get_close_matches(name, names, n=3, cutoff=0.6)
    close.sort(key=lambda candidate: not candidate.startswith(name))  # "seed" means "seeds" rather than "speed"
    return f' Did you mean "{close[0]}"?' if close else ""


def reason_of(error: BaseException) -> str:
    """Return an error in one line: vitbench's own sentences as they are, others with their type in front."""
    # A name of a file that is not UTF-8 comes as lone surrogates, which can be neither stored nor sent.
    words = " ".join(str(error).encode("utf-8", "backslashreplace").decode().split())
    if len(words) > LONGEST:
        words = f"{words[:LONGEST]}..."
    if isinstance(error, VitbenchError):
        return words
    return f"{type(error).__name__}: {words}" if words else type(error).__name__
