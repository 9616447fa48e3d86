"""How a process's error becomes a status and a reason."""

from __future__ import annotations

import errno
from pathlib import Path

import factories
import msgspec
import pytest
import torch

from vitbench.catalog import load_catalog
from vitbench.catalog.provenance import origin
from vitbench.errors import UnusableError
from vitbench.execution.messages import CellJob, CellResult
from vitbench.measuring.predictions import InvalidPredictions
from vitbench.measuring.steps import InvalidOutput
from vitbench.records import KeyedCell
from vitbench.specs import ModelSpec, OptionValue
from vitbench.training import DivergedError
from vitbench.worker import cell
from vitbench.worker.cell import _status_of, run_cell


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (InvalidPredictions("image 3 has a logit that is nan"), "invalid"),
        (InvalidOutput("the model's output is on meta"), "invalid"),
        (DivergedError("the loss became nan at step 12"), "invalid"),
        (MemoryError(), "oom"),
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"), "oom"),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied (2x3 and 4x5)"), "failed"),
        (SystemExit(3), "failed"),
    ],
)
def test_status(error: BaseException, status: str) -> None:
    assert _status_of(error) == status


@pytest.fixture(autouse=True)
def _of_unchanged_code(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither limit this process's memory nor, but where a test is about it, compare the code with the plan's."""
    monkeypatch.setattr(cell, "_limit_memory", lambda: None)
    if "part" not in request.fixturenames:
        monkeypatch.setattr(cell, "_check_code", lambda *_: None)


def from_hub(cause: Exception) -> Exception:
    error = UnusableError("weights could not be fetched")
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("error", "hub", "status"),
    [
        (from_hub(OSError("no route")), "needed", "pending"),
        (ConnectionError("reset"), "needed", "pending"),
        (OSError(errno.ENETUNREACH, "unreachable"), "needed", "pending"),
        (OSError(errno.ENOSPC, "disk full"), "needed", "failed"),
        (from_hub(FileNotFoundError(errno.ENOENT, "no file")), "needed", "failed"),
        (from_hub(OSError("no route")), "", "failed"),
        (from_hub(ValueError("other weights")), "needed", "failed"),
        (UnusableError("its head gives 1000 classes"), "needed", "failed"),
    ],
)
def test_a_cell_whose_weights_could_not_be_fetched_waits(
    error: Exception, hub: str, status: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr(cell, "run_quality", fail)
    assert outcome(factories.quality_cell(hub=hub)).status == status


def test_a_speed_whose_weights_could_not_be_fetched_is_of_random_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def run(job: CellJob, *_: object) -> CellResult:
        asked.append(job.planned.hub)
        if job.planned.hub == "needed":
            raise from_hub(OSError("no route"))
        return CellResult(status="ok")

    monkeypatch.setattr(cell, "run_speed", run)
    assert outcome(factories.speed_cell(hub="needed")).status == "ok"
    assert asked == ["needed", "away"]


def outcome(planned: KeyedCell) -> CellResult:
    return run_cell(msgspec.msgpack.encode(CellJob(planned=planned)), Path(), lambda message: None)


@pytest.mark.parametrize(
    ("device", "probe", "status"),
    [("cuda:1", True, "failed"), ("cuda:1", False, "oom"), ("cpu", True, "oom")],
)
def test_a_host_that_runs_out_of_memory_is_not_the_limit_of_its_gpu(
    device: str, probe: bool, status: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def out_of_memory(*_: object) -> CellResult:
        raise MemoryError("36 GiB")

    monkeypatch.setattr(cell, "run_speed", out_of_memory)
    planned = msgspec.structs.replace(factories.speed_cell(), device=device)
    found = run_cell(msgspec.msgpack.encode(CellJob(planned=planned, probe=probe)), None, lambda _: None)
    assert (found.status, "not the device" in found.reason) == (status, status == "failed")


@pytest.mark.parametrize("part", ["recipe", "others"])
def test_code_that_changed_since_the_plan_is_not_run(part: str, monkeypatch: pytest.MonkeyPatch) -> None:
    ran = []
    monkeypatch.setattr(cell, "run_quality", lambda *_: ran.append(True) or CellResult(status="ok"))
    now = {plugin.name: origin(plugin) for plugin in load_catalog().plugins}
    planned = factories.quality_cell()
    made_of = msgspec.structs.replace(
        planned.provenance, model=now["scratch"], recipe=now["recipes"], others=(now["timm"],)
    )
    assert outcome(msgspec.structs.replace(planned, provenance=made_of)).status == "ok"
    assert ran == [True]
    several = part == "others"
    before = msgspec.structs.replace(made_of.others[0] if several else getattr(made_of, part), code_hash="another")
    made_of = msgspec.structs.replace(made_of, **{part: (before,) if several else before})
    found = outcome(msgspec.structs.replace(planned, provenance=made_of))
    assert (found.status, ran) == ("failed", [True])
    words = "has changed since the run was planned; run the same command again"
    assert found.reason == f"the code of plugin {before.plugin} {words}"


@pytest.mark.parametrize(("now", "status"), [("then", "ok"), ("", "ok"), ("later", "failed")])
def test_a_result_of_weights_that_changed_on_the_hub_since_the_plan_is_refused(
    now: str, status: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def revision(owner: str, spec: ModelSpec, options: dict[str, OptionValue], *, online: bool) -> str:
        assert (spec.name, options, online) == ("vit-p4-d8", planned.cell.options, False)
        return now

    monkeypatch.setattr(cell, "run_quality", lambda *_: CellResult(status="ok"))
    monkeypatch.setattr(cell, "revision_of", revision)
    planned = factories.quality_cell("vit-p4-d8")
    made_of = msgspec.structs.replace(planned.provenance, files={"model.revision": "then"})
    found = outcome(msgspec.structs.replace(planned, provenance=made_of))
    assert found.status == status
    assert ("weights on the hub have changed" in found.reason) == (status == "failed")


@pytest.mark.parametrize(
    ("found", "status", "reason"),
    [
        (CellResult(status="ok", facts={"stem\ud800": "\udce9"}, warnings=("a\udce9",)), "ok", ""),
        (
            CellResult(status="ok", facts={"stem": "whole"}, runtime={"n": 2**70}),
            "failed",
            "cannot be stored: OverflowError",
        ),
    ],
)
def test_whatever_a_plugin_wrote_into_a_result_it_can_be_sent(
    found: CellResult, status: str, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cell, "run_quality", lambda *_: found)
    result = outcome(factories.quality_cell())
    assert msgspec.msgpack.encode(result)
    assert result.status == status
    assert reason in result.reason
    if status == "ok":
        assert (result.facts, result.warnings) == ({"stem\\ud800": "\\udce9"}, ("a\\udce9",))


def test_an_error_with_half_a_character_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise OSError("no file caf\udce9.png")

    monkeypatch.setattr(cell, "run_quality", fail)
    result = outcome(factories.quality_cell())
    assert msgspec.msgpack.encode(result)
    assert result.reason == "OSError: no file caf\\udce9.png"
