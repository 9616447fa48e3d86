"""Plugins: found, loaded each alone, and asked what they offer. Nobody else knows how a plugin is found."""

from __future__ import annotations

from vitbench.catalog.catalog import Catalog, Offer, load_catalog
from vitbench.catalog.discovery import ALLOW_LIST, Plugin, PluginSelection, Problem, select_plugins

__all__ = ["ALLOW_LIST", "Catalog", "Offer", "Plugin", "PluginSelection", "Problem", "load_catalog", "select_plugins"]
