"""Figures of a model as PNG and SVG, by matplotlib, all in one look."""
