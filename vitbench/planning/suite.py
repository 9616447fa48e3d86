"""What is asked for: a suite, the user's selection over it, and the cells that the two come to. Types alone."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from vitbench.boards.board import Score
from vitbench.durations import MOST_SECONDS
from vitbench.findings.statements import Claim
from vitbench.records import Compile, Judged, Mode, Precision
from vitbench.settings import RANK_BY
from vitbench.specs import OptionValue

__all__ = [
    "MOST_IMAGES",
    "MOST_SEED",
    "MOST_THREADS",
    "AskedCell",
    "AskedModel",
    "Conditions",
    "ModelEntry",
    "Selection",
    "SpeedPlan",
    "Suite",
]


class _Data(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of the types here."""


class ModelEntry(_Data, frozen=True, kw_only=True):
    """A model in a suite, with the settings that the suite gives it."""

    name: str
    options: dict[str, OptionValue] = {}
    label: str = ""
    recipe: str = ""
    recipe_options: dict[str, OptionValue] = {}
    """Options of its recipe, over those of ``[recipes.NAME]``."""
    needs: tuple[str, ...] = ()
    """Options that only the user can give, such as the path of a checkpoint: without them it is not run."""
    published: dict[str, float] = {}
    """The figure that was published for it, by dataset, in the unit of the tables."""
    licence: str = ""
    """Of its weights, in place of what its plugin says."""


class SpeedPlan(_Data, frozen=True, kw_only=True):
    """Which speed cells each model gets."""

    batch_sizes: tuple[int, ...] = (1, 32)
    """1 gives the latency; the largest, above 1, gives throughput, memory and training speed."""
    modes: tuple[Mode, ...] = ("inference", "training")
    largest_batch: bool = False
    """Whether the largest batch that fits is searched, too."""
    sustained: float = 0.0
    """Seconds of a long window that is timed, too, at the fixed batch and in training; 0: none is."""

    @property
    def cells(self) -> list[tuple[int, Mode, bool]]:
        """Batch size, mode and whether to search from there: inference at every batch size, training at the largest."""
        sizes = sorted(self.batch_sizes)
        inference, training = "inference" in self.modes, "training" in self.modes
        cells: list[tuple[int, Mode, bool]] = [(size, "inference", False) for size in sizes if inference]
        cells += [(sizes[-1], "inference", True)] if self.largest_batch and sizes and inference else []
        return cells + [(size, "training", False) for size in sizes[-1:] if training]

    def window(self, batch_size: int, mode: Mode, largest: bool) -> float:
        """Return the seconds of the sustained window of a cell: those of throughput have one, others 0."""
        fixed = mode == "training" or (batch_size == max(self.batch_sizes) > 1 and not largest)
        return self.sustained if fixed else 0.0


class Suite(_Data, frozen=True, kw_only=True):
    """A suite file."""

    name: str
    summary: str
    rank_by: str = RANK_BY
    datasets: tuple[str, ...] = ()
    """Each ``NAME[:k=v,...]``."""
    groups: dict[str, tuple[str, ...]] = {}
    """Name to datasets of `datasets`, in full or without their plugin; a dataset is in one group at most."""
    score: Score = "mean"
    """What a board over the datasets makes of a model's values."""
    seeds: tuple[int, ...] = (0,)
    models: tuple[ModelEntry, ...] = ()
    recipe: str = ""
    """The recipe of models that name none and whose spec asks for none."""
    recipes: dict[str, dict[str, OptionValue]] = {}
    """Recipe options for the whole suite."""
    metrics: dict[str, dict[str, OptionValue]] = {}
    """Options of metrics."""
    speed: SpeedPlan = SpeedPlan()
    threads: int | None = None
    """torch threads; None: all usable cores."""
    data: dict[str, str] = {}
    """Dataset name to its folder, relative to the file."""
    skip_unreadable: bool = False
    """Leave images out that cannot be read."""
    figures: tuple[str, ...] = ()
    """Each ``NAME[:k=v,...]``: what is drawn of every trained model when all else has run."""
    claims: tuple[Claim, ...] = ()
    """What is to be tested on the rows, see `vitbench.findings`."""
    budget: str | int | float | None = None
    """How long a run may take: seconds, or text as `vitbench.durations` reads it; None: any time."""


MOST_SEED = 2**63 - 1
MOST_IMAGES = 2**31 - 1
"""Of a batch: torch counts more in kernels that are slower, and no memory holds them."""
MOST_THREADS = 4096
"""More are a slip of the finger, and the system may not start them."""

Count = Annotated[int, msgspec.Meta(ge=1, le=2**63 - 1)]
Images = Annotated[int, msgspec.Meta(ge=1, le=MOST_IMAGES)]
Threads = Annotated[int, msgspec.Meta(ge=1, le=MOST_THREADS)]
Seed = Annotated[int, msgspec.Meta(ge=0, le=MOST_SEED)]
Seconds = Annotated[float, msgspec.Meta(gt=0, le=MOST_SECONDS)]
Share = Annotated[float, msgspec.Meta(gt=0, le=1)]


class Conditions(_Data, frozen=True, kw_only=True):
    """What holds for every cell of a run."""

    device: str = "auto"
    precision: Precision = "float32"
    threads: Threads | None = None
    limit: Count | Share | None = None
    """Images of each split, or a share of them."""
    epochs: Count | None = None
    budget: Seconds | None = None
    """How long the run may take, in seconds; it fixes how many steps each training takes."""
    compile: Compile = ""
    """The mode of torch.compile; empty: nothing is compiled."""
    channels_last: bool = False
    split: Judged = "test"
    """What models are judged on: the test split, or validation images, and then no test image is read."""
    skip_unreadable: bool = False
    """Leave images out that cannot be read, instead of refusing the dataset."""

    @property
    def partial(self) -> bool:
        """Whether the quality cells are cut short by a limit or by fewer epochs."""
        return self.limit is not None or self.epochs is not None


class Selection(_Data, frozen=True, kw_only=True):
    """What the user asks for: the suite, and what in place of it. All of it, so that the same can be asked again."""

    suite: str = ""
    """Name of a suite or path of its file; empty: vitbench's own, or none where both models and datasets are named."""
    models: tuple[str, ...] = ()
    """As on a command line: ``M[:k=v,...]``."""
    datasets: tuple[str, ...] = ()
    """As models are."""
    recipe: str = ""
    """The recipe of all models but baselines, whatever suite and models say; empty: as they say."""
    seeds: tuple[Seed, ...] = ()
    batch_size: Images | None = None
    largest_batch: bool = False
    """Search the largest batch that fits, whatever the suite says."""
    speeds: Literal["all", "none", "only"] | None = None
    """Whether speeds are measured, or nothing but speeds; None: unless the results are partial."""
    settings: dict[str, dict[str, OptionValue]] = {}
    """Name of a recipe or of a metric to option to value, or its text, from ``--set``."""
    data: dict[str, str] = {}
    """Dataset name to its folder."""
    conditions: Conditions = Conditions()
    plugins: tuple[str, ...] = ()
    """Plugin files."""
    no_plugins: tuple[str, ...] = ()
    """Installed plugins to leave out."""
    shard: str = ""
    """Which part of the plan runs, ``K/N`` (`vitbench.sharding`); empty: all of it."""

    @property
    def times(self) -> bool:
        """Whether speeds are measured: a partial run tries models out, and times them where something asks for it."""
        if self.speeds is not None:
            return self.speeds != "none"
        return not self.conditions.partial or self.batch_size is not None or self.largest_batch


class AskedModel(_Data, frozen=True, kw_only=True):
    """A model as it was asked for. A family's member is completed in prepare."""

    name: str
    options: dict[str, OptionValue] = {}
    """Complete and typed, or, for a member of a family, only those that were given (as text from a command line)."""
    label: str = ""
    written: dict[str, OptionValue] = {}
    """Files as a suite names them, relative to itself; a label shows them so."""
    family: bool = False
    baseline: bool = False
    licence: str = ""
    """Of its weights; empty: what its spec says."""


class AskedCell(_Data, frozen=True, kw_only=True):
    """A cell before the data are opened and families are resolved."""

    kind: Literal["quality", "speed"]
    model: AskedModel
    dataset: str
    dataset_options: dict[str, OptionValue] = {}
    """Complete and typed, or, for a dataset that a folder defines, only those that were given, as text."""
    recipe: str = ""
    recipe_options: dict[str, OptionValue] = {}
    """Complete, except for the defaults of the model's own, which are known in prepare."""
    recipe_settled: tuple[str, ...] = ()
    """The options that the suite or the user gave, over the model's own defaults."""
    seed: int = 0
    batch_size: int = 0
    mode: Mode = "inference"
    largest_batch: bool = False
    sustained: float = 0.0
