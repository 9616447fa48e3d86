"""The command line is a contract: its names are frozen here, and its start stays light."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import pytest
from comparisons import quality, right, write

from vitbench.cli import cli, main

Run = Callable[..., tuple[int, str, str]]

# Option or argument -> what it takes, whether it repeats, its default as far as the user can see it.
FLAG = ("flag", False, False)
PLUGINS = {"--plugin": ("FILE.py", True, None), "--no-plugin": ("NAME", True, None), "--strict-plugins": FLAG}
COMMANDS: dict[str, dict[str, tuple[object, bool, object]]] = {
    "run": {
        "--suite": ("NAME|FILE.toml", False, None),
        "--output": ("PATH", False, None),
        "--model": ("M[:k=v,...]", True, None),
        "--dataset": ("D[:k=v,...]", True, None),
        "--recipe": ("R", False, ""),
        "--data": ("NAME=PATH", True, None),
        "--device": ("auto|cpu|cuda|cuda:N|mps", False, "auto"),
        "--precision": ("[float32|bfloat16|float16|tf32]", False, "float32"),
        "--threads": ("INTEGER RANGE", False, None),
        "--seed": ("INTEGER RANGE", True, None),
        "--epochs": ("INTEGER RANGE", False, None),
        "--limit": ("N|FRACTION", False, None),
        "--budget": ("DURATION", False, None),
        "--split": ("[test|val]", False, "test"),
        "--batch-size": ("INTEGER RANGE", False, None),
        "--largest-batch": FLAG,
        "--speeds": ("[all|none|only]", False, None),
        "--set": ("RECIPE.OPTION=VALUE", True, None),
        "--timeout": ("SECONDS", False, None),
        "--rerun": ("[failed|speed|all]", False, None),
        "--compile": ("[default|reduce-overhead]", False, None),
        "--channels-last": FLAG,
        "--skip-unreadable": FLAG,
        "--shard": ("K/N", False, ""),
        "--dry-run": FLAG,
        "--executor": ("local|ray[=HOST:PORT][,machine=LABEL]", False, "local"),
        "--parallel": ("N", False, None),
        **PLUGINS,
        "--quiet": FLAG,
        "--json": FLAG,
    },
    "score": {
        "data": ("DATA", False, None),
        "--model": ("M[:k=v,...]", True, None),
        "--classes": ("[subset|all]", False, "subset"),
        "--class-map": ("FILE", False, None),
        "--output": ("PATH", False, None),
        "--device": ("auto|cpu|cuda|cuda:N|mps", False, "auto"),
        "--precision": ("[float32|bfloat16|float16|tf32]", False, "float32"),
        "--threads": ("INTEGER RANGE", False, None),
        "--limit": ("N|FRACTION", False, None),
        "--timeout": ("SECONDS", False, None),
        "--rerun": ("[failed|speed|all]", False, None),
        "--compile": ("[default|reduce-overhead]", False, None),
        "--channels-last": FLAG,
        "--skip-unreadable": FLAG,
        "--dry-run": FLAG,
        **PLUGINS,
        "--quiet": FLAG,
        "--json": FLAG,
    },
    "pick": {
        "data": ("DATA", False, None),
        "--budget": ("DURATION", False, "1h"),
        "--models": ("M[:k=v,...]|FILE.toml", True, None),
        "--want": ("EXPR", False, ""),
        "--device": ("auto|cpu|cuda|cuda:N|mps", False, "auto"),
        "--threads": ("INTEGER RANGE", False, None),
        "--output": ("PATH", False, None),
        "--skip-unreadable": FLAG,
        "--dry-run": FLAG,
        **PLUGINS,
        "--quiet": FLAG,
        "--json": FLAG,
    },
    "ls": {
        "kind": ("[models|datasets|recipes|metrics|figures|exporters|suites|plugins]", False, None),
        "pattern": ("[PATTERN]", False, None),
        "--options": ("NAME", False, None),
        "--json": FLAG,
        **PLUGINS,
    },
    "plugins": {"--json": FLAG, **PLUGINS},
    "plugin": {},
    "plugin new": {"name": ("NAME", False, None), "--path": ("PATH", False, None)},
    "leaderboard": {
        "folder": ("[DIR]", False, None),
        "--format": ("[table|md|csv|json|latex|html]", False, "table"),
        "--output": ("FILE", False, None),
        "--readme": ("FILE", False, None),
        "--model": ("PATTERN", True, None),
        "--dataset": ("NAME", True, None),
        "--where": ("EXPR", False, None),
        "--sort": ("METRIC", False, None),
        "--columns": ("A,B,...", False, None),
        "--plots": FLAG,
        "--details": FLAG,
        "--no-images": FLAG,
    },
    "findings": {"folder": ("[DIR]", False, None), "--json": FLAG},
    "explain": {
        "folder": ("[DIR]", False, None),
        "--model": ("M", True, None),
        "--figure": ("F[:k=v,...]", True, None),
        "--image": ("FILE", True, None),
        "--layer": ("N", False, None),
        "--head": ("N", False, None),
        "--target": ("CLASS", False, None),
        "--timeout": ("SECONDS", False, None),
        **PLUGINS,
    },
    "export": {
        "form": ("FORMAT[:k=v,...]", False, None),
        "folder": ("[DIR]", False, None),
        "--output": ("DIRECTORY", False, None),
        "--force": FLAG,
        **PLUGINS,
    },
    "show": {"arguments": ("[DIR] [ID]", False, None), "--mistakes": ("[N]", False, None)},
    "withdraw": {"folder": ("DIR", False, None), "asked": ("ID", False, None), "--reason": ("TEXT", False, None)},
    "reproduce": {
        "folder": ("DIR", False, None),
        "asked": ("ID", False, None),
        "--check": FLAG,
        "--output": ("PATH", False, None),
    },
    "import": {
        "given": ("DIR|FILE.zip", False, None),
        "--output": ("PATH", False, None),
        "--name": ("NAME", False, ""),
    },
    "merge": {"folders": ("DIR...", False, None), "--output": ("DIR", False, None)},
    "doctor": {"--device": ("auto|cpu|cuda|cuda:N|mps", False, "auto"), "--speeds": FLAG, "--json": FLAG},
    "check": {
        "plugin": ("PLUGIN", False, None),
        "--model": ("M[:k=v,...]", True, None),
        "--data": ("NAME=PATH", True, None),
        "--json": FLAG,
    },
    "compare": {
        "first": ("A", False, None),
        "second": ("B", False, None),
        "--output": ("PATH", False, None),
        "--model": ("M", True, None),
        "--dataset": ("D", False, None),
        "--device": ("cpu|cuda|cuda:N|mps", False, None),
        "--threshold": ("SHARE", False, None),
        "--measure": FLAG,
        "--plugin": ("FILE.py", True, None),
        "--json": FLAG,
    },
    "track": {
        "--base": ("REF", False, None),
        "--head": ("REF", False, None),
        "--model": ("M[:k=v,...]", True, None),
        "--mode": ("[inference|training]", True, None),
        "--batch-size": ("INTEGER RANGE", False, None),
        "--image-size": ("INTEGER RANGE", False, None),
        "--num-classes": ("INTEGER RANGE", False, None),
        "--device": ("auto|cpu|cuda|cuda:N|mps", False, "auto"),
        "--threads": ("INTEGER RANGE", False, None),
        "--threshold": ("SHARE", False, None),
        "--seconds": ("S", False, None),
        "--repo": ("DIR", False, "."),
        "--install": ("COMMAND", False, "pip install -e ."),
        "--inherit-packages": FLAG,
        "--allow-differences": FLAG,
        "--json": FLAG,
        "--output": ("FILE", False, None),
    },
}

HEAVY = ("torch", "torchvision", "numpy", "pandas", "scipy", "sklearn", "timm", "PIL", "pyarrow", "jinja2", "tabulate")


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run the command line in this process and return its exit code, stdout and stderr."""

    def call(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["vitbench", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        out, err = capsys.readouterr()
        return int(ended.value.code or 0), out, err

    return call


def takes(param: click.Parameter, context: click.Context) -> tuple[object, bool, object]:
    if getattr(param, "is_flag", False):
        return FLAG
    default: Any = param.get_default(context)
    return param.make_metavar(context), param.multiple, default if isinstance(default, str) else None


def commands(group: click.Group = cli, prefix: str = "") -> dict[str, click.Command]:
    """Return all commands, those of groups too, by what is typed."""
    found: dict[str, click.Command] = {}
    for name, command in group.commands.items():
        found[prefix + name] = command
        if isinstance(command, click.Group):
            found |= commands(command, f"{prefix}{name} ")
    return found


def test_the_surface_is_frozen() -> None:
    found = {}
    for name, command in commands().items():
        context = click.Context(command)
        found[name] = {param.opts[0]: takes(param, context) for param in command.params}
    assert found == COMMANDS


def test_no_option_has_a_short_or_a_second_name() -> None:
    for command in commands().values():
        assert all(len(param.opts) == 1 and not param.secondary_opts for param in command.params)


@pytest.mark.parametrize("command", [(), *[tuple(name.split()) for name in COMMANDS]])
def test_help_works_everywhere_and_names_every_option(command: tuple[str, ...], run: Run) -> None:
    code, out, err = run(*command, "--help")
    assert (code, err) == (0, "")
    assert out.startswith("Usage: ")
    for option in COMMANDS[" ".join(command)] if command else COMMANDS:
        assert not option.startswith("--") or option in out
    assert run(*command, "-h") == (code, out, err)


def test_the_help_tells_the_exit_codes(run: Run) -> None:
    _, out, _ = run("--help")
    for words in ("0 all cells ok", "1 a cell", "2 usage", "3 data", "4 output", "5 nothing", "130 interrupted"):
        assert words in " ".join(out.split())


def test_the_version_is_the_packages(run: Run) -> None:
    import vitbench

    assert run() == run("--help"), "without a command"
    assert run("--version") == (0, f"vitbench, version {vitbench.__version__}\n", "")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["rnu"], "No such command"),
        (["run", "--modle", "vit"], "--modle"),
        (["run", "--precision", "float8"], "'float8' is not one of 'float32', 'bfloat16', 'float16', 'tf32'"),
        (["run", "--rerun", "some"], "'some' is not one of 'failed', 'speed', 'all'"),
        (["run", "--threads", "0"], "0 is not in the range x>=1"),
        (["run", "--epochs", "0"], "0 is not in the range x>=1"),
        (["run", "--seed", "-1"], "-1 is not in the range x>=0"),
        (["run", "--batch-size", "0"], "0 is not in the range x>=1"),
        (["run", "--timeout", "0"], "0.0 is not in the range x>0"),
        (["run", "--limit", "0"], "a number of images must be at least 1, not 0"),
        (["run", "--limit", "1.5"], "a fraction must be above 0 and at most 1, not 1.5"),
        (["run", "--budget", "30x"], '"30x" is not a duration; write 90s, 15m, 1h30m or a number of seconds'),
        (["run", "--budget", "5m", "--epochs", "2"], "--epochs and --budget both set the training length"),
        (["run", "--budget", "5m", "--speeds", "only"], "--speeds only trains nothing; drop one of them"),
        (["run", "--budget", "5m", "--shard", "1/2"], "a shard runs only some of its trainings; give their length"),
        (["run", "--shard", "3/2"], "there is no shard 3 of 2; they count from 1 to 2"),
        (["run", "--split", "val", "--speeds", "only"], "--speeds only evaluates nothing; drop one of them"),
        (["run", "--limit", "many"], "'many' is neither an integer nor a fraction with a decimal point"),
        (["run", "--data", "pets"], '"pets" must be written NAME=PATH'),
        (["run", "--set", "supervised.epochs"], '"supervised.epochs" must be written RECIPE.OPTION=VALUE'),
        (["run", "--set", "epochs=3"], "must be written RECIPE.OPTION=VALUE"),
        (
            ["ls"],
            "Missing argument 'KIND': models, datasets, recipes, metrics, figures, exporters, suites, plugins; or",
        ),
        (["ls", "models", "scratch/vti*"], 'no models match "scratch/vti*". Did you mean "scratch/vit"?'),
        (
            ["ls", "--options", "supervisd"],
            'recipe, metric, figure or exporter is called "supervisd". Did you mean "supervised"?',
        ),
        (["ls", "models", "scratch/*", "--options", "vit"], "--options takes no PATTERN"),
        (
            ["ls", "suites", "--options", "quick"],
            "models, datasets, recipes, metrics, figures, exporters, or none",
        ),
        (["ls", "modles"], 'there is no kind "modles". Did you mean "models"? Kinds: models, datasets,'),
        (["ls", "models", "hybrid-c"], 'no models match "hybrid-c". Did you mean "*hybrid-c*"?'),
        (["export", "/", "timm-csv"], 'write "vitbench export timm-csv /": the format comes first.'),
        (["withdraw", "a", "b"], "Missing option '--reason'"),
        (["show", "a", "b", "c"], "at most a folder and an id"),
        (["show", "--mistakes"], "--mistakes must follow the ID of a training"),
        (["plugin"], "Missing command"),
        (["plugin", "nwe"], "No such command"),
        (["plugin", "new"], "Missing argument"),
        (["plugin", "new", "a b"], '"a b" is not a valid package name'),
        (["plugins", "--no-plugin", "scrach"], 'no installed plugin is called "scrach". Did you mean "scratch"?'),
        (["plugins", "--plugin", "absent.py"], "plugin file absent.py cannot be read: No such file or directory"),
        (["leaderboard", "--format", "xml"], "'xml' is not one of"),
        (["track"], "Missing option '--base'"),
        (["track", "--base", "x", "--mode", "sleep"], "'sleep' is not one of 'inference', 'training'"),
        (["track", "--base", "x", "--threshold", "1"], "1.0 is not in the range 0<x<1"),
        (["track", "--base", "x", "--repo", "/no/such"], "--repo: /no/such is not a directory"),
    ],
)
def test_bad_usage_is_one_line_and_exit_2(arguments: list[str], words: str, run: Run) -> None:
    code, out, err = run(*arguments)
    assert (code, out) == (2, "")
    (line,) = err.splitlines()
    assert line.startswith("Error: ")
    assert words in line


@pytest.mark.parametrize(
    ("command", "more"),
    [("leaderboard", ()), ("findings", ()), ("show", ()), ("withdraw", ("ab", "--reason", "of an old disk"))],
)
def test_a_results_folder_that_is_not_there_is_exit_4(
    command: str, more: tuple[str, ...], run: Run, tmp_path: object
) -> None:
    code, out, err = run(command, f"{tmp_path}/nowhere", *more)
    assert (code, out) == (4, "")
    (line,) = err.splitlines()
    assert line.startswith("Error: ")
    assert "nowhere" in line


def test_folders_that_hold_no_results_are_named(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("VITBENCH_OUTPUT", raising=False)
    words = '"nowhere" is neither a folder nor an id in vitbench-results, which does not exist.'
    assert run("show", "nowhere") == (4, "", f"Error: {words}\n")
    assert run("show", ".", "")[0] == run("show", "")[0] == 2
    Path("clean").mkdir()
    write(Path("res"), quality("a", right(90)))
    code, _, err = run("compare", "res", "clean")
    assert (code, '"clean" contains no results of vitbench' in err) == (2, True)
    Path("bad").mkdir()
    Path("bad/vitbench.sqlite").write_text("not a database, of more than sixteen bytes")
    assert "move it away, or name another folder" in run("leaderboard", "bad")[2]


def test_findings_end_with_what_the_claims_come_to(run: Run, tmp_path: Path) -> None:
    models = "".join(f'[[models]]\nname = "scratch/{name}"\n' for name in ("a", "b"))
    claim = '[[claims]]\nname = "c"\ntext = "A is better"\nrows = ["a"]\nagainst = ["b"]\n'
    known = [quality("a", right(100)), quality("b", right(200))]
    write(tmp_path / "refuted", *known, suite=f'name = "s"\n{models}{claim}')
    code, out, err = run("findings", f"{tmp_path}/refuted")
    assert (code, err) == (10, "")
    assert "refuted       A is better" in out
    code, out, _ = run("findings", f"{tmp_path}/refuted", "--json")
    assert (code, json.loads(out)["exit_code"]) == (10, 10)
    write(tmp_path / "silent", *known, suite=f'name = "s"\n{models}')
    code, out, err = run("findings", f"{tmp_path}/silent")
    assert (code, out, len(err.splitlines())) == (5, "", 1)


def test_a_broken_plugin_warns_and_is_exit_3_where_that_is_asked(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VITBENCH_PLUGINS", "recipes,absent")
    words = "plugin absent (unknown distribution), name: VITBENCH_PLUGINS names it, but it is not installed"
    code, out, err = run("ls", "recipes")
    assert (code, err) == (0, f"warning: {words}\n")
    assert "recipes/supervised" in out
    assert run("ls", "recipes", "--strict-plugins")[0] == 3
    code, out, err = run("plugins", "--strict-plugins")
    assert (code, err) == (3, "")
    assert words in out
    assert run("ls", "plugins", "--strict-plugins") == (code, out, err)


def test_offers_that_fit_a_pattern_are_listed(run: Run) -> None:
    code, out, err = run("ls", "models", "scratch/vit-p?-d8")
    assert (code, err) == (0, "")
    assert [line.split()[0] for line in out.splitlines() if line[0] != " "] == ["scratch/vit-p4-d8"]
    [listed] = json.loads(run("ls", "recipes", "superv*", "--json")[1])
    assert listed["name"] == "recipes/supervised"
    assert listed["options"]["epochs"]["type"] == "int"
    assert run("ls", "plugins", "scratch")[1].startswith("scratch  vitbench ")


def test_the_options_of_an_offer_are_listed(run: Run) -> None:
    code, out, err = run("ls", "--options", "supervised")
    assert (code, err) == (0, "")
    assert out.startswith("recipe recipes/supervised:  ")
    assert re.search(r"\n  epochs +int; default \d+", out)
    assert run("ls", "recipes", "--options", "supervised") == (code, out, err)
    [told] = json.loads(run("ls", "--options", "scratch/vit", "--json")[1])
    assert (told["kind"], told["name"]) == ("model", "scratch/vit")
    assert told["options"]["checkpoint"]["kind"] == "file"


def test_members_whose_library_is_missing_are_told_on_stderr(run: Run, tmp_path: Path) -> None:
    (tmp_path / "zoo.py").write_text(
        "import vitbench\n\n@vitbench.hookimpl\ndef vitbench_models():\n"
        '    yield vitbench.ModelSpec(name="net", build="zoo:b", summary="A net")\n'
        '    yield vitbench.ModelSpec(name="*", build="zoo:b", summary="Nets", resolve="absent_module:r", '
        'members="absent_module:m")\n'
    )
    code, out, err = run("ls", "models", "zoo/n*", "--plugin", str(tmp_path / "zoo.py"))
    assert (code, out.splitlines()[0]) == (0, "zoo/net  A net")
    words = "cannot import absent_module:m: ModuleNotFoundError: No module named 'absent_module'"
    assert err == f"note: the members of zoo/* are not listed: {words}\n"


@pytest.mark.compute
def test_the_members_of_timm_and_their_options_are_listed(run: Run) -> None:
    code, out, err = run("ls", "models", "timm/resnet18*")
    assert (code, err) == (0, "")
    assert {"timm/resnet18", "timm/resnet18.a1_in1k"} <= set(out.splitlines())
    assert "pretrained bool; default true" in " ".join(run("ls", "--options", "timm/resnet18")[1].split())


def test_a_new_plugin_is_written_once(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    code, out, err = run("plugin", "new", "mine")
    assert code == 0
    assert all(Path(line).is_file() for line in out.splitlines())
    assert err == "Next: pip install -e 'vitbench-mine[test]' && pytest vitbench-mine\n"
    words = "vitbench-mine is not empty, and nothing is overwritten; choose another --path."
    assert run("plugin", "new", "mine") == (4, "", f"Error: {words}\n")
    err = run("plugin", "new", "mine", "--path", "o $HOME")[2]
    assert err == "Next: pip install -e 'o $HOME[test]' && pytest 'o $HOME'\n"


def test_an_interruption_is_one_line_and_exit_130(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    # This first: it imports what would else keep the other's substitute.
    monkeypatch.setattr("vitbench.planning.plan.plan", interrupt)
    monkeypatch.setattr("vitbench.catalog.load_catalog", interrupt)
    assert run("ls", "models") == (130, "", "Interrupted.\n")
    assert run("run") == (130, "", "Interrupted; run the same command to resume.\n")


@pytest.mark.process
def test_a_reader_that_has_read_enough_is_no_error() -> None:
    script = (
        "import sys, vitbench.cli as cli, vitbench.cli.catalog as catalog\n"
        "listing = catalog._list\n"
        "catalog._list = lambda *arguments: [listing(*arguments) for _ in range(100)] and 0\n"  # more than a pipe holds
        "sys.argv = ['vitbench', 'ls', 'models', '--json']\n"
        "cli.main()\n"
    )
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline() == b"[\n"
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 0


@pytest.mark.process
def test_the_start_and_what_reads_results_import_nothing_heavy() -> None:
    commands = [
        ["--help"],
        ["plugins"],
        *(["ls", kind] for kind in ("models", "datasets", "recipes", "figures", "exporters", "suites")),
    ]
    script = (
        "import sys\n"
        "from vitbench.cli import main\n"
        f"for command in {commands}:\n"
        "    sys.argv = ['vitbench', *command]\n"
        "    try:\n"
        "        main()\n"
        "    except SystemExit as ended:\n"
        "        assert not ended.code, (command, ended.code)\n"
        "    if command == ['--help']:\n"
        "        assert not {'msgspec', 'pluggy', 'vitbench.specs', 'vitbench.api'} & set(sys.modules)\n"
        "import vitbench.leaderboard.image_scores, vitbench.report.html.details\n"
        f"print(sorted(set({HEAVY}) & set(sys.modules)), file=sys.stderr)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert "scratch/vit-p4-d8" in done.stdout
    assert done.stderr == "[]\n"
