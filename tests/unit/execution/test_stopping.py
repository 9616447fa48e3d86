"""SIGTERM stops what runs as Ctrl-C does, as long as it runs."""

from __future__ import annotations

import signal
import threading

import pytest

from vitbench.execution.stopping import stoppable


def test_sigterm_is_an_interruption_inside_and_what_it_was_outside_after_an_error_too() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with stoppable():
        assert signal.getsignal(signal.SIGTERM) is not before
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGTERM)
    assert signal.getsignal(signal.SIGTERM) is before

    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(RuntimeError, match="stop"), stoppable():
        raise RuntimeError("stop")
    assert signal.getsignal(signal.SIGTERM) is before


def test_one_inside_another_is_put_back_in_turn() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with stoppable():
        outer = signal.getsignal(signal.SIGTERM)
        with stoppable():
            assert signal.getsignal(signal.SIGTERM) is not outer
        assert signal.getsignal(signal.SIGTERM) is outer
    assert signal.getsignal(signal.SIGTERM) is before


def test_in_another_thread_it_lets_signals_be() -> None:
    before, inside = signal.getsignal(signal.SIGTERM), []

    def work() -> None:
        with stoppable():
            inside.append(signal.getsignal(signal.SIGTERM))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert inside == [before]
