"""``python -m vitbench``: the command line."""

from vitbench.cli import main

if __name__ == "__main__":
    main()
