"""Two models, or two runs, held against each other: `vitbench compare`."""
