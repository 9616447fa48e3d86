"""A Ray cluster: whether it may be used, how to connect to it, and one of this machine alone.

Whoever reaches a cluster that asks for no token can run any code on all of its machines, so such a cluster is refused:
https://docs.ray.io/en/latest/ray-security/token-auth.html. Whether it asks for one, and whether ours is right, a small
process finds out, since Ray's own client tries for a minute and then ends the program.
"""

from __future__ import annotations

import contextlib
import importlib.util
import logging
import os
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from vitbench.errors import UnusableError, UsageError, reason_of
from vitbench.installed import version_of

__all__ = ["LABEL", "SHARED", "RayAddress", "connected", "parse_address"]

LABEL = "vitbench-machine"
"""The label of Ray's nodes that names their machine class; whoever starts a node chooses its value."""
SHARED = "vitbench"
"""The resource of which a node has 1 and each cell takes a share; a timing takes all of it."""
CONNECT_SECONDS, PROBE_SECONDS = 5.0, 30.0
"""For a machine to take a connection, and for a cluster to answer a question."""
MODE, TOKEN, TOKEN_FILE = "RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"
_HOME_TOKEN = ".ray/auth_token"
_QUESTION = """
import sys
from ray._raylet import GcsClient
from ray.exceptions import AuthenticationError
try:
    GcsClient(address=sys.argv[1]).get_all_node_info(timeout=10)
except AuthenticationError:
    sys.exit(10)
"""
_DENIED = 10
"""Exit code of the question where the cluster does not let in whoever asks."""
_INSTALL = 'pip install "vitbench[ray]"'


@dataclass(frozen=True, kw_only=True, slots=True)
class RayAddress:
    """Which cluster, as ``--executor ray[=ADDRESS][,machine=LABEL]`` says."""

    address: str = ""
    """``HOST:PORT`` of its head; empty: a new one of this machine, for the time of the run."""
    label: str = ""
    """The machine class among the cluster's nodes; empty: the only one that there is."""


def parse_address(text: str) -> RayAddress | None:
    """Return the cluster that an ``--executor`` names; None where it names this machine.

    Raises:
        UsageError: it names nothing.
    """
    if text == "local":
        return None
    first, *more = text.split(",")
    name, equals, address = first.partition("=")
    options = dict(part.partition("=")[::2] for part in more)
    label = options.pop("machine", "")
    if name != "ray" or (equals and not address) or options or (more and not label):
        raise UsageError(
            f'--executor "{text}": give local, ray or ray=HOST:PORT, optionally followed by ,machine=LABEL.'
        )
    if address.startswith("ray://"):
        raise UsageError(
            f'--executor "{text}": Ray\'s client protocol is not supported; give HOST:PORT of the head, '
            "on a machine of the cluster."
        )
    host, _, port = address.rpartition(":")
    if address and not (host and port.isdecimal() and 0 < int(port) < 65536):
        raise UsageError(f'--executor "{text}": the address of a cluster is HOST:PORT, such as 10.0.0.1:6379.')
    if label and not address:
        raise UsageError(
            f'--executor "{text}": machine= chooses among the nodes of a cluster; give its address as well.'
        )
    return RayAddress(address=address, label=label)


@contextmanager
def connected(asked: RayAddress) -> Iterator[Any]:
    """Connect to a cluster, or start one of this machine; give the module ``ray``.

    Raises:
        UnusableError: Ray is not installed, nobody answers, the cluster asks for no token, ours is missing or wrong, or
            its versions of Ray and Python differ from ours.
    """
    if importlib.util.find_spec("ray") is None:
        raise UnusableError(f"--executor ray needs Ray: {_INSTALL}")
    # Sockets lie in it, whose paths may have 107 characters.
    folder = tempfile.TemporaryDirectory(prefix="vb-", ignore_cleanup_errors=True)
    with folder as place, _variables(asked, place):
        import ray
        from ray._private import ray_constants

        if asked.address:
            asked = replace(asked, address=_as_ray_has_it(asked.address, ray))
            _check(asked.address)
        from ray._raylet import Config  # type: ignore[attr-defined]

        several = ray_constants.ENABLE_RAY_CLUSTER
        if ray.is_initialized():
            raise UnusableError("this process is connected to a Ray cluster already; call ray.shutdown() first")
        how: dict[str, Any] = {"address": asked.address} if asked.address else _own_cluster(place)
        try:
            with _kept_signals(), _silent():
                Config.initialize("")  # it may have been imported before the token was set
                if not asked.address:
                    ray_constants.ENABLE_RAY_CLUSTER = False  # as on macOS: it listens on loopback only
                ray.init(**how, logging_level=logging.CRITICAL, log_to_driver=False)
        except (Exception, SystemExit) as error:
            ray_constants.ENABLE_RAY_CLUSTER = several
            with contextlib.suppress(Exception):
                ray.shutdown()
            raise UnusableError(_explained(asked, error)) from error
        try:
            if not asked.address and ray.util.get_node_ip_address() != "127.0.0.1":
                raise UnusableError(f"this version of Ray ({ray.__version__}) would listen beyond this machine")
            yield ray
        finally:
            ray_constants.ENABLE_RAY_CLUSTER = several
            with _kept_signals(), _silent():
                ray.shutdown()


def _own_cluster(place: str) -> dict[str, Any]:
    """Return how a cluster of this machine is started, which nobody else reaches."""
    return {
        "address": "local",
        "_node_ip_address": "127.0.0.1",
        "_temp_dir": place,
        "include_dashboard": False,
        "resources": {SHARED: 1},
        "labels": {LABEL: "this"},
    }


def _as_ray_has_it(address: str, ray: Any) -> str:
    """Return an address as Ray understands it: it takes ``localhost`` for this machine's address in the network."""
    host, _, port = address.rpartition(":")
    return f"{ray.util.get_node_ip_address()}:{port}" if host in ("localhost", "127.0.0.1") else address


def _check(address: str) -> None:
    """See that a cluster answers, asks for a token, and takes ours."""
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host, int(port)), timeout=CONNECT_SECONDS).close()
    except OSError as error:
        raise UnusableError(
            f"no Ray cluster answers at {address} ({error.strerror or 'timed out'}); "
            "start its head with `ray start --head`, or check the address"
        ) from error
    if _answer(address, {MODE: "disabled"}) != _DENIED:
        raise UnusableError(
            f"the Ray cluster at {address} requires no token: anyone who can reach it can run code on its machines; "
            f"start it with {MODE}=token, or check that a Ray cluster answers there"
        )
    if not _has_token():
        raise UnusableError(f"no token for the Ray cluster at {address}; set {TOKEN} or {TOKEN_FILE}")
    code = _answer(address, {})
    if code == _DENIED:
        raise UnusableError(f"the Ray cluster at {address} does not accept our token; check {TOKEN} or {TOKEN_FILE}")
    if code:
        raise UnusableError(f"no Ray cluster answers at {address}, although something accepts the connection")


def _answer(address: str, variables: Mapping[str, str]) -> int:
    """Return the exit code of the question."""
    environment = {**os.environ, "RAY_BACKEND_LOG_LEVEL": "fatal", **variables}
    if variables.get(MODE) == "disabled":
        environment = {name: value for name, value in environment.items() if name not in (TOKEN, TOKEN_FILE)}
    try:
        asking = [sys.executable, "-c", _QUESTION, address]
        return subprocess.run(asking, env=environment, capture_output=True, timeout=PROBE_SECONDS).returncode
    except (OSError, subprocess.TimeoutExpired):
        return 1


def _has_token() -> bool:
    """Whether this user has a token where Ray looks for one."""
    if os.environ.get(TOKEN):
        return True
    path = os.environ.get(TOKEN_FILE)
    place = Path(path) if path else Path.home() / _HOME_TOKEN
    try:
        return bool(place.read_text().strip())
    except (OSError, UnicodeDecodeError):
        return False


@contextmanager
def _variables(asked: RayAddress, place: str) -> Iterator[None]:
    """Have Ray use tokens in this process and in what it starts, and say little; later all is as it was.

    A cluster of our own has a token that nobody else knows, and its files in a folder that goes with it.
    """
    changed = {MODE: "token", "RAY_USAGE_STATS_ENABLED": "0", "RAY_BACKEND_LOG_LEVEL": "fatal"}
    if not asked.address:
        changed |= {TOKEN: secrets.token_hex(32), "RAY_TMPDIR": place}
    before = {name: os.environ.get(name) for name in changed}
    os.environ.update(changed)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


@contextmanager
def _kept_signals() -> Iterator[None]:
    """Keep what signals do, which Ray changes."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler or signal.SIG_DFL)


@contextmanager
def _silent() -> Iterator[None]:
    """Keep what Ray's own code writes to stderr, whatever its log level, from the terminal."""
    try:
        kept = os.dup(2)
    except OSError:  # there is none
        yield
        return
    nothing = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nothing, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nothing)


def _explained(asked: RayAddress, error: BaseException) -> str:
    """Return why there is no connection, in a sentence."""
    where = f"the Ray cluster at {asked.address}" if asked.address else "a Ray cluster of this machine"
    words = reason_of(error)
    if "ersion mismatch" in words:
        own = f"Ray {version_of('ray')}, Python {sys.version.split()[0]}"
        return f"{where} runs different versions from this process ({own}): {words}"
    if "find" in words and "node" in words.lower() and asked.address:
        return f"this machine is not a node of {where}; start `vitbench run` on one that is ({words})"
    return f"{where} cannot be used: {words}"
