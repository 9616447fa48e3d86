"""What a figure gets and gives: the subject that it looks into, and data that the core draws in one look."""

from vitbench.figures.data import Figure, Grid, Matrix, Points, Scale, Tile
from vitbench.figures.subject import FigureSubject, Picture

__all__ = ["Figure", "FigureSubject", "Grid", "Matrix", "Picture", "Points", "Scale", "Tile"]
