"""What is refused before anything is prepared: names that only look like models."""

from __future__ import annotations

import pytest

from vitbench import session
from vitbench.errors import UsageError
from vitbench.suite import Selection


@pytest.mark.parametrize(
    ("suite", "datasets", "model", "message"),
    [
        (
            None,
            ("cifar10",),
            "vit-p4",
            '"vit-p4" is a label of the suite quick; add --suite quick, or give ',
        ),
        ("cifar", (), "vit-p4", '"vit-p4" is a label of the suite quick; add --suite quick, or give '),
        (
            "quick",
            (),
            "vit-p4:depth=3",
            '"vit-p4" is a label of the suite quick and takes no options; give ',
        ),
        ("quick", (), "vit-p5", 'unknown model "vit-p5". Did you mean "vit-p'),
        ("quick", (), "scratch/vitt", 'unknown model "scratch/vitt". Did you mean "scratch/vit'),
        ("quick", (), "resnet18-w61", 'unknown model "resnet18-w61". Did you mean "resnet18-w16"?'),
    ],
)
def test_a_label_out_of_place_is_explained(
    suite: str | None, datasets: tuple[str, ...], model: str, message: str
) -> None:
    with pytest.raises(UsageError) as raised:
        session.plan(suite, Selection(models=(model,), datasets=datasets), strict_plugins=False, say=print)
    assert str(raised.value).startswith(message)
