"""What is to run: a suite and a selection become asked cells, these become keyed ones."""
