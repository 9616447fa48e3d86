"""A cluster of three nodes on loopback, with GPUs that do not exist, and what the executor `ray` does on it.

Run in a process of its own, which Ray leaves threads and variables in; it prints what it found as JSON.
"""

from __future__ import annotations

import itertools
import json
import os
import secrets
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from vitbench.errors import VitbenchError
from vitbench.execution.executor import Ending, Executor, Job, Needs, decoded, job_of
from vitbench.execution.messages import CellResult, Message, Say


def main() -> None:
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(prefix="vb-", ignore_cleanup_errors=True) as place:
        os.environ |= {"RAY_AUTH_MODE": sys.argv[1], "RAY_TMPDIR": place, "RAY_BACKEND_LOG_LEVEL": "fatal"}
        os.environ |= {"RAY_AUTH_TOKEN": secrets.token_hex(32), "RAY_USAGE_STATS_ENABLED": "0"}
        cluster = Nodes()
        try:
            if sys.argv[1] == "token":
                with_token(cluster, Path(place), found)
            else:
                found["open"] = refused(cluster.address)
        finally:
            cluster.end()
    if sys.argv[1] != "token":
        found["listens"] = own_cluster_listens()
    print(json.dumps(found))


class Nodes:
    """The cluster, in a process of its own, as in life: what connects to it and leaves must not end it."""

    def __init__(self) -> None:
        command = [sys.executable, __file__, "serve"]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        self.address = self._answer()

    def tell(self, word: str) -> None:
        """Have a node added or the first one of class a removed, and wait until that is done."""
        assert self._process.stdin is not None
        print(word, file=self._process.stdin, flush=True)
        self._answer()

    def end(self) -> None:
        """End it."""
        self._process.communicate(timeout=60)

    def _answer(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()


def serve() -> None:
    from ray.cluster_utils import Cluster

    answer, sys.stdout = sys.stdout, sys.stderr
    head = {"node_ip_address": "127.0.0.2", "include_dashboard": False, **_node("b", gpus=0)}
    cluster = Cluster(initialize_head=True, head_node_args=head)
    print(cluster.address, file=answer, flush=True)
    nodes, numbers = [], itertools.count(3)
    for line in sys.stdin:
        if line.strip() == "add":
            nodes.append(cluster.add_node(node_ip_address=f"127.0.0.{next(numbers)}", **_node("a")))
        else:
            cluster.remove_node(nodes.pop(0), allow_graceful=False)
        print("done", file=answer, flush=True)
    cluster.shutdown()


def _node(label: str, *, gpus: int = 2) -> dict[str, Any]:
    return {
        "num_cpus": 2,
        "num_gpus": gpus,
        "resources": {"vitbench": 1},
        "labels": {"vitbench-machine": label},
        "object_store_memory": 80 << 20,
    }


def refused(address: str) -> str:
    """Return why a cluster is refused."""
    from vitbench.execution.choice import opened_executor

    try:
        with opened_executor(f"ray={address}", None, lambda _: None):
            return ""
    except VitbenchError as error:
        return f"{error.exit_code}: {error}"


def refused_class(label: str) -> str:
    """Return why no machine of a class is found in the cluster that this process is connected to."""
    import ray

    from vitbench.execution.ray_executor import RayExecutor

    try:
        RayExecutor(ray, label=label, most=None, say=lambda _: None)
    except VitbenchError as error:
        return f"{error.exit_code}: {error}"
    return ""


def with_token(cluster: Nodes, place: Path, found: dict[str, Any]) -> None:
    from vitbench.execution import ray_executor
    from vitbench.execution.choice import opened_executor

    token = os.environ["RAY_AUTH_TOKEN"]
    os.environ["RAY_AUTH_TOKEN"] = secrets.token_hex(32)

    found["wrong token"] = refused(cluster.address)
    os.environ["RAY_AUTH_TOKEN"] = token
    cluster.tell("add")
    cluster.tell("add")
    found["two classes"] = refused(cluster.address)
    os.environ["OMP_DYNAMIC"] = "false"
    said: list[str] = []
    with opened_executor(f"ray={cluster.address},machine=a", None, said.append) as executor:
        found["machines"] = executor.machines
        ray_executor.JOIN_SECONDS = 1.0
        found["no such class"] = refused_class("c")
        found["jobs"] = timings_and_trainings(executor)
        found["carried"] = carried(executor, place)
        found["killed"] = killed(executor, place)
        ray_executor.JOIN_SECONDS = 60.0
        found["removed"] = node_removed(executor, cluster)
        cluster.tell("add")
        until = time.monotonic() + 30
        while executor.machines < 2 and time.monotonic() < until:
            executor.run("ray_targets:spend", Say(text="0.1"), CellResult)
        found["machines after one joined late"] = executor.machines


def own_cluster_listens() -> list[str]:
    """Return where a cluster of this machine alone listens, a worker of it included, beside loopback."""
    from vitbench.execution.choice import opened_executor

    with opened_executor("ray", None, lambda _: None) as executor:
        handle = executor.submit(job_of("ray_targets:spend", Say(text="6")))
        threading.Timer(4.0, lambda: found.extend(_listens_beyond_loopback())).start()
        found: list[str] = []
        executor.wait([handle])
        return found


def timings_and_trainings(executor: Executor) -> list[dict[str, Any]]:
    """Run trainings and, submitted after them, two series of timings; return when and where each ran."""
    jobs: dict[int, tuple[str, Job]] = {}

    def submit(kind: str, takes: float, **needs: Any) -> None:
        job = job_of("ray_targets:spend", Say(text=str(takes)), needs=Needs(device="cuda", **needs))
        jobs[executor.submit(job)] = kind, job

    for _ in range(5):
        submit("training", 0.5, cores=1, seconds=0.5)
    for series in ("s", "t"):
        submit(series, 0.3, cores=2, alone=True, series=series)
    ran: list[dict[str, Any]] = []
    more = {"s": 1, "t": 1}
    while jobs:
        for handle, ended in executor.wait(list(jobs)).items():
            kind, _ = jobs.pop(handle)
            ending = decoded(ended, CellResult)
            assert ending.answer is not None, ending
            assert ending.place is not None
            ran.append({"kind": kind, "node": ending.place.node, "label": ending.place.label})
            ran[-1] |= {**ending.answer.facts, **ending.answer.evidence, "host": ending.place.host}
            if more.get(kind):
                more[kind] -= 1
                submit(kind, 0.3, cores=2, alone=True, series=kind)
            elif kind in more:
                executor.release(kind)
    return ran


def carried(executor: Executor, place: Path) -> dict[str, Any]:
    """Send a file of some pieces there and back."""
    folder, log, said = place / "folder", place / "log.txt", []
    folder.mkdir()
    content = secrets.token_bytes(20 << 20)
    (folder / "given").write_bytes(content)
    ending: Ending[CellResult] = executor.run(
        "ray_targets:carry",
        Say(text=""),
        CellResult,
        message=Message,
        on_message=said.append,
        folder=folder,
        log=log,
    )
    return {
        "kind": f"{ending.kind} {ending.reason}".strip(),
        "same": (folder / "copy").exists() and (folder / "copy").read_bytes() == content,
        "files": sorted(path.name for path in folder.iterdir()),
        "log": log.read_text() if log.exists() else "",
        "said": [one.text for one in said],
    }


def killed(executor: Executor, place: Path) -> dict[str, Any]:
    """Have Ray's process killed; see whether what it ran has ended, too."""
    import psutil

    ending = executor.run("ray_targets:kill_the_worker", Say(text=str(place / "pid")), CellResult)
    until, pid = time.monotonic() + 20, int((place / "pid").read_text())
    while psutil.pid_exists(pid) and time.monotonic() < until:
        time.sleep(0.1)
    return {"kind": ending.kind, "lost": ending.lost, "left": psutil.pid_exists(pid)}


def node_removed(executor: Executor, cluster: Nodes) -> dict[str, Any]:
    """Remove a node while jobs run on both; return how those ended that ran there."""
    job = job_of("ray_targets:spend", Say(text="8"), needs=Needs(cores=2))
    handles = {executor.submit(job) for _ in range(2)}
    threading.Timer(3.0, cluster.tell, ("remove",)).start()
    endings: list[Ending[bytes]] = []
    while handles:
        for handle, ended in executor.wait(list(handles)).items():
            handles.discard(handle)
            endings.append(ended)
    return {"kinds": sorted(ended.kind for ended in endings), "lost": sum(ended.lost for ended in endings)}


def _listens_beyond_loopback() -> list[str]:
    import psutil

    own = {psutil.Process(), *psutil.Process().children(recursive=True)}
    addresses = {
        one.laddr.ip
        for process in own
        for one in _connections(process)
        if one.status == psutil.CONN_LISTEN and one.family in (socket.AF_INET, socket.AF_INET6)
    }
    return sorted(address for address in addresses if not address.startswith(("127.", "::1", "::ffff:127.")))


def _connections(process: Any) -> Iterator[Any]:
    import psutil

    try:
        yield from process.net_connections("inet")
    except psutil.Error:
        return


if __name__ == "__main__":
    serve() if sys.argv[1] == "serve" else main()
