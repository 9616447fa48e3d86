"""`vitbench track`: has a change made models slower? Two commits of one repository, measured in turn on one machine.

Each commit gets a checkout and a Python environment of its own (checkouts.py, environments.py). Each environment is
asked what its vitbench would measure (asking.py, messages.py, describe.py), what both have is matched (matching.py) and
compared in lockstep (track.py, on vitbench/lockstep/compare.py), and the answers become one table and one exit code
(outcome.py, report.py).
"""
