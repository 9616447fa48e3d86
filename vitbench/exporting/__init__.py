"""What an exporter gets, and the road from a results folder to the files of a format (`vitbench export`)."""

from vitbench.exporting.names import file_name, file_names
from vitbench.exporting.results import (
    ExportedCell,
    ExportedPicture,
    ExportedResults,
    ExportedRow,
    ExportedRun,
    ExportedValue,
)
from vitbench.leaderboard.answers import Answers

__all__ = [
    "Answers",
    "ExportedCell",
    "ExportedPicture",
    "ExportedResults",
    "ExportedRow",
    "ExportedRun",
    "ExportedValue",
    "file_name",
    "file_names",
]
