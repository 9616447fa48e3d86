import factories as f
from hypothesis import given, settings
from hypothesis import strategies as st

from vitbench.leaderboard import build
from vitbench.report import render
from vitbench.report.terminal import WIDTH
from vitbench.text import plain

HOSTILE = ["1e5", "007", "\x1b[2J\x1b[31mred", "a\nb\r\tc", "\x01", "nan", "=1+1", "a|b", "\u202eevil", "x" * 300]


def table(*records: object, rank_by: str = "top1", pending: tuple[object, ...] = ()) -> str:
    return render(build(records, pending, rank_by), "table")


def test_the_whole_table():
    text = table(
        f.quality("scratch/vit-p2", 340),
        *f.speed("scratch/vit-p2", 1000),
        f.quality("scratch/resnet18", 355),
        *f.speed("scratch/resnet18", 400, verdict="warn", reason="load average 4.1 on 2 cores"),
        f.quality("baseline/majority", 37, baseline=True),
        f.record(f.quality_cell("timm/vit"), status="failed", reason="no network; give checkpoint=PATH"),
    )
    assert (
        text
        == """\
digits
AMD EPYC 9B14, 2 cores; cpu, 1 thread; float32; batch 32, latency at batch 1

----  ------------------  ----  ------------  --------  -----  -----  ------  ------  --------
                          top1          95 %              p50   peak  params             train
rank  model                  %      interval  images/s     ms    MiB       M   GMACs  images/s
----  ------------------  ----  ------------  --------  -----  -----  ------  ------  --------
   1  scratch/resnet18    98.6  [96.8, 99.4]      ~400  ~5.00  ~12.0   0.053  0.0015      ~133
   2  scratch/vit-p2      94.4  [91.6, 96.4]     1,000   2.00   12.0   0.053  0.0015       333
   3  baseline/majority   10.3  [ 7.5, 13.8]
      (baseline)
----  ------------------  ----  ------------  --------  -----  -----  ------  ------  --------

Ranked by top1 (higher is better), on 360 test images.
Recipe: recipes/supervised.
~ doubtful, scratch/resnet18 (throughput, latency_p50, peak_memory, train_throughput): load average
  4.1 on 2 cores.

Without a result: 1 cell
timm/vit: failed (digits, seed 0)
    no network; give checkpoint=PATH
"""
    )


def test_a_long_name_is_broken_after_a_separator_and_stays_whole():
    name = "timm/vit_base_patch16_224.augreg_in21k"
    text = table(f.quality(name), *f.speed(name))
    lines = text.splitlines()
    start = next(i for i, line in enumerate(lines) if "timm/" in line)
    assert max(map(len, lines)) <= WIDTH
    assert lines[start].split()[1] + lines[start + 1].strip() == name
    assert lines[start].split()[1].endswith(".")


def test_names_that_look_like_numbers_stay():
    text = table(f.quality("1e5", 340), f.quality("007", 300))
    assert [line.split()[1] for line in text.splitlines() if "[" in line] == ["1e5", "007"]


@settings(max_examples=60, deadline=None)
@given(st.one_of(st.sampled_from(HOSTILE), st.text(min_size=1, max_size=60)))
def test_no_text_of_a_user_leaves_its_place(name):
    text = table(
        f.quality(name, 340, data=f.data_info(title=name or "x")),
        f.record(f.quality_cell(name, seed=3), status="failed", reason=f"it said {name}"),
    )
    harmless = table(
        f.quality("n", 340, data=f.data_info(title="t")),
        f.record(f.quality_cell("n", seed=3), status="failed", reason="it said n"),
    )
    assert not [c for c in text if (ord(c) < 32 and c != "\n") or 127 <= ord(c) < 160]
    assert max(map(len, text.splitlines())) <= WIDTH
    if len(plain(name)) <= 40 and plain(name) == " ".join(plain(name).split()):
        assert plain(name) in text
        assert len(text.splitlines()) == len(harmless.splitlines())


def test_nothing_yet_says_so_and_names_what_is_pending():
    text = table(pending=(f.quality_cell("vit"),))
    assert text == "No results yet.\n\nWithout a result: 1 cell\nvit: pending (digits, seed 0)\n    not started\n"
