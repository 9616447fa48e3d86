"""Conditions with what they mean, and texts that are none: for the parser, and for the page's, which must agree."""

from __future__ import annotations

UNITS = {
    "top1": "fraction",
    "throughput": "images/s",
    "latency_p50": "s",
    "peak_memory": "B",
    "energy": "J",
    "params": "1",
    "macs": "1",
    "nll": "nat",
    "time_to_top1:level=0.9": "s",
}
"""Base unit of each metric that there is."""

MEANS = {
    "throughput > 500": "throughput > 500",
    "throughput>=500images/s": "throughput >= 500 images/s",
    "THROUGHPUT > 5e2 AND top1 >= .9": "throughput > 5e2 and top1 >= .9",
    "top1 > 90 %": "top1 > 90%",
    "top1 \u2265 90% or params \u2264 5m": "top1 >= 90% or params <= 5 M",
    "top1 => 1 and params =< 2.5G": "top1 >= 1 and params <= 2.5 G",
    "peak_memory < 1gib": "peak_memory < 1 GiB",
    "peak_memory < 1 MB": "peak_memory < 1 MB",
    "latency_p50 < 5 \u00b5s": "latency_p50 < 5 \u00b5s",
    "latency_p50 < 0": "latency_p50 < 0",
    "energy < 3 mJ/image": "energy < 3 mJ/image",
    "macs < 1.2 GMACs": "macs < 1.2 GMACs",
    "nll < 1 nat": "nll < 1 nat",
    "nll < -1.5": "nll < -1.5",
    "time_to_top1:level=0.9<5min": "time_to_top1:level=0.9 < 5 min",
    # `not` before `and` before `or`
    "not top1 > 0.5 and params < 5": "top1 <= 0.5 and params < 5",
    "not (top1 > 0.5 and params < 5)": "top1 <= 0.5 or params >= 5",
    "not not top1 > 0.5": "top1 > 0.5",
    "params < 1 or params < 2 and params < 3": "params < 1 or params < 2 and params < 3",
    "(params < 1 or params < 2) and params < 3": "(params < 1 or params < 2) and params < 3",
    "((params < 1)) and (params < 2 and params < 3)": "params < 1 and params < 2 and params < 3",
    "NOT(params<1 OR(params<2))AND\tparams<3": "params >= 1 and params >= 2 and params < 3",
}
"""By text, how it is written back."""

REFUSED = {
    "": "a condition is empty; write one such as throughput > 500.",
    "throughput": 'at the end of "throughput": expected <, <=, > or >= after throughput.',
    "throughput >": 'at the end of "throughput >": expected a number after throughput and its operator.',
    "throughput > fast": "at character 14 of",
    "throughput > \uff15": "at character 14 of",
    "throughput > 1,000": "at character 14 of",
    "throughput > 1e999": "is too large.",
    "throughput > 500 mb": "at character 18 of",
    "peak_memory < 1 gi": '"gi" is not a unit of peak_memory. It takes MiB, GiB,',
    "nll < 1 ms": "ms is a unit of time; nll takes nat.",
    "latency_p50 < 5": "latency_p50 needs a unit: write 5 s, ms or us.",
    "top1 > 90": "top1 is a share, at most 1; write 90% for percent.",
    "latency < 5ms": 'there is no metric "latency".',
    "train_throughput > 5": "no row has train_throughput.",
    "500 < throughput": "the metric comes first, then the number: throughput > 500.",
    "top1 > 0.5 < 0.6": 'at character 12 of "top1 > 0.5 < 0.6": a comparison has one operator; join two by "and".',
    "top1 = 0.5": '"=" is not an operator; write <, <=, > or >=.',
    "top1 > 0.5 && params > 5": 'at character 12 of "top1 > 0.5 && params > 5": write "and" instead of "&&".',
    "top1 > 0.5, params > 5": 'at character 11 of "top1 > 0.5, params > 5": write "and" instead of ",".',
    "!top1 > 0.5": 'write "not" instead of "!".',
    "(top1 > 0.5": 'at character 1 of "(top1 > 0.5": no ")" closes this "(".',
    "top1 > 0.5)": 'no "(" comes before this ")".',
    "top1 > 0.5 params > 6": 'expected "and" or "or" before params.',
    "top1 > 0.5 (params > 6)": 'expected "and" or "or".',
    "(top1 > 0.5 (params > 6": 'expected "and", "or" or ")".',
    "top1 > 0.5 and": 'at the end of "top1 > 0.5 and": expected a condition, such as throughput > 500.',
    "and top1 > 0.5": "at character 1 of",
    "\U0001d4b3 \uff1e top1 > \u00e9": "at character 1 of",
    "top1 > 0.5 and \x1b[31m\u202e": "at character 16 of",
    "not " * 51 + "top1 > 0": '"(" and "not" can be nested at most 50 deep.',
    "top1 > 0 and " * 400 + "top1 > 0": "a condition has at most 2,000 characters, not 5,208.",
}
"""By text, what the error says."""

VALUES: tuple[dict[str, float | None], ...] = (
    {"top1": 0.57, "params": 2.0, "throughput": 500.0, "peak_memory": 2.0**30, "latency_p50": 0.005},
    {"top1": 0.95, "params": 5e6, "throughput": None, "nll": 1.0},
    {"throughput": float("nan"), "params": 0.0, "top1": 0.5},
    {},
)
"""Rows to hold them against."""
