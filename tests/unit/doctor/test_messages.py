"""One way to judge: advice is for what is not well."""

from __future__ import annotations

from vitbench.doctor.messages import MachineCheck, judged


def test_advice_is_kept_only_where_it_is_needed() -> None:
    assert judged("disk", True, "9 GiB free", "Free some.") == MachineCheck(name="disk", ok=True, found="9 GiB free")
    bad = MachineCheck(name="disk", ok=False, found="full", advice="Free some.")
    assert judged("disk", False, "full", "Free some.") == bad
