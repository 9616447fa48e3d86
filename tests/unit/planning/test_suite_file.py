"""A suite file is read; what is wrong in it is named with its place."""

from __future__ import annotations

from pathlib import Path

import pytest

from vitbench.errors import UsageError
from vitbench.planning.suite import ModelEntry, SpeedPlan, Suite
from vitbench.planning.suite_file import read_suite

HEAD = 'name = "mine"\nsummary = "a suite"\n'


def test_a_suite_file_is_read(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(
        HEAD + 'datasets = ["digits"]\nseeds = [0, 1]\nrank_by = "nll"\nthreads = 1\n'
        '[[models]]\nname = "scratch/vit"\noptions = {patch_size = 2}\nlabel = "vit-p2"\n'
        '[recipes.supervised]\nepochs = 20\nteacher = "zoo/net:depth=2"\nsizes = [1, 2]\nnone = []\n'
        "[speed]\nbatch_sizes = [1, 8]\nmodes = ['inference']\n"
        '[data]\npets = "images"\n'
    )
    assert read_suite(path) == Suite(
        name="mine",
        summary="a suite",
        rank_by="nll",
        datasets=("digits",),
        seeds=(0, 1),
        threads=1,
        models=(ModelEntry(name="scratch/vit", options={"patch_size": 2}, label="vit-p2"),),
        recipes={"supervised": {"epochs": 20, "teacher": "zoo/net:depth=2", "sizes": (1, 2), "none": ()}},
        speed=SpeedPlan(batch_sizes=(1, 8), modes=("inference",)),
        data={"pets": "images"},
    )


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (HEAD + 'dataset = ["digits"]', 'unknown key `dataset`. Did you mean "datasets"?'),
        (HEAD + '[[models]]\nname = "a"\noption = {}', 'unknown key `models[0].option`. Did you mean "options"?'),
        (
            HEAD + '[[models]]\nname = "a"\n[[models]]\nname = "b"\ncolour = 1',
            "unknown key `models[1].colour`. Known: name, options, label, recipe, recipe_options, needs, published, "
            "licence.",
        ),
        (HEAD + "[speed]\nbatchsizes = [1]", 'unknown key `speed.batchsizes`. Did you mean "batch_sizes"?'),
        (HEAD + 'score = "median"', "unknown `score` 'median'. Known: 'mean', 'mean of groups'."),
        (HEAD + 'datasets = ["d"]\n[groups]\na = ["e"]', "`groups.a` names the dataset 'e', which this suite does not"),
        ('name = "mine"', "the key `summary` is missing"),
        (HEAD + '[[models]]\nlabel = "a"', "the key `models[0].name` is missing"),
        (HEAD + 'seeds = ["one"]', "`seeds[0]`: expected `int`, got `str`"),
        (HEAD + "seeds = 1", "`seeds`: expected `array`, got `int`"),
        (HEAD + '[speed]\nmodes = ["sleeping"]', "`speed.modes[0]`: invalid enum value 'sleeping'"),
        (
            HEAD + '[[models]]\nname = "a"\noptions = {sizes = [1, [2]]}',
            "`models[0].options[...][1]`: expected `bool | int | float | str`, got `array`",
        ),
        (
            HEAD + "[recipes.supervised]\nepochs = {least = 1}",
            "`recipes[...][...]`: expected `bool | int | float | str | array`, got `table`",
        ),
        (HEAD + "seeds = [0\n[speed]", "(at line 4, column"),
        (HEAD + 'datasets = ["a", "b", "a"]', "`datasets` holds 'a' twice"),
        (HEAD + "seeds = [0, 1, 0]", "`seeds` holds 0 twice"),
        (HEAD + "seeds = []", "`seeds` is empty"),
        (HEAD + "seeds = [-1]", "`seeds` must contain integers from 0 to 9223372036854775807"),
        (HEAD + f"seeds = [{10**22}]", "`seeds` must contain integers from 0 to 9223372036854775807"),
        (HEAD + f"seeds = [{'9' * 5000}]", "is not valid TOML: Exceeds the limit"),
        (HEAD + f"datasets = {'[' * 3000}{']' * 3000}", "its tables or lists are nested too deeply"),
        (HEAD + f"x = {'{a=' * 3000}1{'}' * 3000}", "its tables or lists are nested too deeply"),
        (HEAD + "threads = 0", "`threads` must be a whole number from 1 to 4096"),
        (HEAD + f"threads = {10**22}", "`threads` must be a whole number from 1 to 4096"),
        (HEAD + 'budget = "soon"', '`budget` = "soon" is not a duration; write 90s, 15m, 1h30m or a number of seconds'),
        (HEAD + "budget = -5", '`budget` = "-5" is not a duration'),
        (HEAD + "[speed]\nbatch_sizes = [1, 1]", "`speed.batch_sizes` holds 1 twice"),
        (HEAD + "[speed]\nsustained = 1", "`speed.sustained` must be 2 to 3600 seconds, or 0 for none; 20 is common"),
        (HEAD + "[speed]\nsustained = nan", "`speed.sustained` must be 2 to 3600 seconds"),
        (HEAD + "[speed]\nsustained = -20", "`speed.sustained` must be 2 to 3600 seconds"),
        (HEAD + "[speed]\nbatch_sizes = [0]", "`speed.batch_sizes` must contain integers from 1 to 2147483647"),
        (HEAD + f"[speed]\nbatch_sizes = [{10**22}]", "`speed.batch_sizes` must contain integers from 1 to "),
        (
            HEAD + '[[models]]\nname = "a"\nlabel = "x"\n[[models]]\nname = "b"\nlabel = "x"',
            "`models` gives the label 'x' to two models",
        ),
    ],
)
def test_a_wrong_suite_file_is_refused_with_file_and_place(text: str, words: str, tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(text)
    with pytest.raises(UsageError) as caught:
        read_suite(path)
    assert str(caught.value).startswith(f"suite file {path}")
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_suite_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"no\.toml cannot be read: No such file"):
        read_suite(tmp_path / "no.toml")
    latin = tmp_path / "latin.toml"
    latin.write_bytes(b'name = "caf\xe9"')
    with pytest.raises(UsageError, match=r"latin\.toml is not UTF-8"):
        read_suite(latin)
    folder = tmp_path / "folder.toml"
    folder.mkdir()
    with pytest.raises(UsageError, match=r"folder\.toml cannot be read"):
        read_suite(folder)
