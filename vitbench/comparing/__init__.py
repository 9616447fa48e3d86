"""Two models, or two runs, compared: `vitbench compare`."""
