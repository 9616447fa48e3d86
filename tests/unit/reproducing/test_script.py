"""The script of a row says all that it takes to make it again, and no name in it is ever run."""

from __future__ import annotations

import json
import shlex
import subprocess
from pathlib import Path

import factories
import msgspec
import pytest

from vitbench.errors import UsageError
from vitbench.records import Record
from vitbench.reproducing.script import again, script_of
from vitbench.store import Store

SUITE = 'name = "mine"\nsummary = "END_OF_SUITE"\n'


def folder(place: Path, records: list[Record], selection: dict[str, object], suite: str = "") -> Path:
    with Store.open(place, create=True) as store:
        environment = factories.environment()
        run = store.begin_run(
            command="x",
            version="0.9",
            suite=suite,
            environment=environment,
            rank_by="top1",
            selection=json.dumps(selection),
        )
        digest = store.runs()[-1].environment
        for record in records:
            store.append(msgspec.structs.replace(record, run=run, environment=digest))
    return place


def trained(label: str = "vit", **fields: object) -> list[Record]:
    return [factories.quality(label, 200 + seed, seed=seed, **fields) for seed in (3, 5)]


def test_a_script_has_the_command_the_pins_the_digests_and_the_seeds(tmp_path: Path) -> None:
    records = trained()
    selection = {"models": ["vit"], "datasets": ["digits"], "shard": "1/2", "conditions": {"device": "auto"}}
    found = again(folder(tmp_path, records, selection), records[0].id[:8])
    script = script_of(found)
    assert found.seeds == (3, 5)
    assert script.endswith(
        "vitbench run --model scratch/vit:patch_size=4 --dataset digits --seed 3 --seed 5 --device cpu --threads 1 "
        '--output "$OUTPUT"\n'
    )
    for words in ("torch==2.15.0", "vitbench==0.9", records[0].planned.data.fingerprint, "Seeds: 3, 5"):  # type: ignore[union-attr]
        assert words in script


def test_a_suite_that_was_a_file_is_in_the_script(tmp_path: Path) -> None:
    records = trained()
    found = again(folder(tmp_path, records, {"suite": "far/mine.toml"}, SUITE), records[0].id)
    assert "--suite suite.toml" in found.command.command
    assert f"cat > \"$OUTPUT/suite.toml\" <<'END_OF_SUITE_'\n{SUITE}END_OF_SUITE_\n" in script_of(found)
    assert "given below" not in script_of(found)


def test_the_folders_in_a_suite_file_are_found_where_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    suite = f'{SUITE}datasets = ["digits:a=1"]\n[data]\ndigits = "clean"\nother = "unused"\n'
    record = factories.quality("vit", 200)
    found = again(folder(tmp_path / "r", [record], {"suite": "far/mine.toml"}, suite), record.id)
    assert shlex.join(["--data", f"digits={tmp_path}/far/clean"]) in found.command.command
    assert "unused" not in found.command.command
    given = {"suite": "far/mine.toml", "data": {"digits": "/mine"}}
    found = again(folder(tmp_path / "g", [record], given, suite), record.id)
    assert "--data digits=/mine" in found.command.command


@pytest.mark.process
def test_a_script_leaves_the_suite_of_its_user_alone(tmp_path: Path) -> None:
    record = factories.quality("vit", 200)
    script = script_of(again(folder(tmp_path / "r", [record], {"suite": "suite.toml"}, SUITE), record.id))
    (tmp_path / "suite.toml").write_text("mine")
    ran_with(script, tmp_path)
    assert (tmp_path / "suite.toml").read_text() == "mine"
    assert (tmp_path / "out" / "suite.toml").read_text() == SUITE
    assert "--suite\nout/suite.toml\n" in (tmp_path / "arguments").read_text()


def ran_with(script: str, place: Path) -> None:
    """Run a script in a folder, with a vitbench that writes its arguments down."""
    programs = place / "bin"
    programs.mkdir()
    (programs / "vitbench").write_text('#!/bin/sh\nprintf "%s\\n" "$@" > arguments\n')
    (programs / "vitbench").chmod(0o755)
    environment = {"PATH": f"{programs}:/usr/bin:/bin", "INSTALL": "no"}
    subprocess.run(["/bin/sh", "-s", "out"], input=script.encode(), cwd=place, env=environment, check=True)


@pytest.mark.process
def test_no_name_is_ever_run(tmp_path: Path) -> None:
    odd = "$(touch ran)`touch ran`'\n touch ran #"
    record = factories.quality("vit", 200)
    planned = msgspec.structs.replace(
        record.planned,
        label=odd,
        data=msgspec.structs.replace(record.planned.data, title=odd),
        cell=msgspec.structs.replace(record.planned.cell, variables={"OMP_DYNAMIC": odd}, options={"a": odd}),
    )
    place = folder(tmp_path / "r", [msgspec.structs.replace(record, planned=planned)], {"data": {"digits": odd}})
    script = script_of(again(place, record.id))
    ran_with(script, tmp_path)
    assert not (tmp_path / "ran").exists()
    assert f"digits={odd}" in (tmp_path / "arguments").read_text()
    assert shlex.quote(odd) in script


def test_what_cannot_be_made_again_is_refused(tmp_path: Path) -> None:
    record = msgspec.structs.replace(factories.quality("vit", 200), source="alice")
    place = folder(tmp_path, [record], {})
    with pytest.raises(UsageError, match="imported from alice"):
        again(place, record.id)
    with pytest.raises(UsageError, match="no record has an id"):
        again(place, "zz")
