"""The charts as Vega-Lite specifications, one for each kind; https://vega.github.io/vega-lite/docs/.

A page may hold hundreds of charts of five kinds. So each kind is one template, and a chart is no more than its words
and numbers: the page's script puts them in. A string of a template that begins with ``@`` stands for one of the words.

Colours are variables of the page's style sheet, so that dark mode and print need no second drawing; a scale of colours
cannot be made of them, so that the confusion matrix shades by opacity. Nothing is told by colour alone.
"""

from __future__ import annotations

from typing import Any

__all__ = ["CONFIG", "TEMPLATES"]

VegaSpec = dict[str, Any]

_ACCENT, _INK, _MUTED = "var(--accent)", "var(--ink)", "var(--muted)"


CONFIG: VegaSpec = {
    "background": "transparent",
    "font": "system-ui, sans-serif",
    "view": {"stroke": None},
    "axis": {
        "labelColor": _MUTED,
        "titleColor": _MUTED,
        "titleFontWeight": "normal",
        "titleFontSize": 12,
        "labelFontSize": 12,
        "domainColor": "var(--line)",
        "tickColor": "var(--line)",
        "gridColor": "var(--line)",
        "gridOpacity": 0.6,
        "titlePadding": 8,
    },
    "legend": {
        "labelColor": _MUTED,
        "titleColor": _MUTED,
        "labelFontSize": 12,
        "orient": "top",
        "title": None,
        "symbolStrokeColor": _INK,
        "symbolFillColor": "transparent",
    },
    "text": {"fill": _INK, "fontSize": 12},
}


def _axis(field: str, title: str, **more: Any) -> VegaSpec:
    return {
        "field": field,
        "type": "quantitative",
        "title": title,
        "scale": {"zero": False, "nice": True, "padding": 8},
        **more,
    }


def _layered(*layers: VegaSpec, height: int, **more: Any) -> VegaSpec:
    return {"width": "container", "height": height, **more, "layer": list(layers)}


_PLAIN_NUMBERS = {"format": ",.4~r", "tickCount": 6}
_X = _axis("x", "@x", axis=_PLAIN_NUMBERS, scale={"type": "@scale", "zero": "@zero", "nice": False, "padding": 24})
_Y = _axis("y", "@y", axis=_PLAIN_NUMBERS, scale={"zero": False, "nice": True, "padding": 16})
_ON_FRONT = {"test": "datum.front", "value": _ACCENT}
_PARETO = _layered(
    {
        "data": {"name": "levels"},
        "mark": {"type": "rule", "strokeDash": [2, 4], "stroke": _MUTED, "aria": False},
        "encoding": {"y": _Y},
    },
    {
        "data": {"name": "levels"},
        "mark": {
            "type": "text",
            "align": "right",
            "baseline": "bottom",
            "dy": -3,
            "fill": _MUTED,
            "limit": 220,
            "aria": False,
        },
        "encoding": {"y": _Y, "x": {"value": "width"}, "text": {"field": "model"}},
    },
    {
        "transform": [{"filter": "datum.front"}],
        "mark": {"type": "line", "stroke": _ACCENT, "strokeWidth": 1.5, "opacity": 0.5, "aria": False},
        "encoding": {"x": _X, "y": _Y, "order": {"field": "x"}},
    },
    {
        "mark": {"type": "rule", "stroke": _MUTED, "opacity": 0.7, "aria": False},
        "encoding": {"x": _X | {"field": "x_low"}, "x2": {"field": "x_high"}, "y": _Y},
    },
    {
        "mark": {"type": "rule", "stroke": _MUTED, "opacity": 0.7, "aria": False},
        "encoding": {"x": _X, "y": _Y | {"field": "y_low"}, "y2": {"field": "y_high"}},
    },
    {
        "transform": [
            {
                "calculate": "datum.model + ', ' + datum.y_text + ', ' + datum.x_text + ', ' + datum.verdict",
                "as": "told",
            }
        ],
        "mark": {"type": "point", "size": 90, "strokeWidth": 1.5, "opacity": 1, "cursor": "pointer"},
        "encoding": {
            "description": {"field": "told"},
            "x": _X,
            "y": _Y,
            "shape": {
                "field": "verdict",
                "type": "nominal",
                "scale": {"domain": ["valid", "doubtful", "invalid"], "range": ["circle", "diamond", "triangle-up"]},
            },
            "fill": {
                "condition": [{"test": "datum.verdict === 'invalid'", "value": "var(--paper)"}, _ON_FRONT],
                "value": "var(--faint)",
            },
            "stroke": {"condition": _ON_FRONT, "value": _MUTED},
            "tooltip": [
                {"field": "model", "title": "model"},
                {"field": "y_text", "title": "@y_name"},
                {"field": "x_text", "title": "@x_name"},
                {"field": "verdict", "title": "verdict"},
            ],
        },
    },
    {
        "transform": [{"filter": "datum.labelled"}],
        "mark": {
            "type": "text",
            "align": {"expr": "datum.leftwards ? 'right' : 'left'"},
            "baseline": "bottom",
            "dx": {"expr": "datum.leftwards ? -8 : 8"},
            "dy": -4,
            "limit": 170,
            "aria": False,
        },
        "encoding": {"x": _X, "y": _Y, "text": {"field": "model"}},
    },
    height=340,
    data={"name": "points"},
)

_TIGHT = {"zero": False, "nice": False}
_CURVE = _layered(
    {
        "mark": {"type": "line", "strokeWidth": 1.8},
        "encoding": {
            "x": _axis(
                "epoch",
                "epoch",
                axis={"tickCount": "@ticks", "grid": False},
                scale={"zero": False, "nice": False},
            ),
            "y": _axis("value", "@y", axis=_PLAIN_NUMBERS),
            "stroke": {
                "field": "seed",
                "type": "nominal",
                "sort": None,
                "scale": {"range": [_ACCENT, _INK, _MUTED]},
            },
            "strokeDash": {
                "field": "seed",
                "type": "nominal",
                "sort": None,
                "scale": {"range": [[1, 0], [6, 3], [2, 2], [8, 3, 2, 3]]},
            },
            "tooltip": [{"field": "seed"}, {"field": "epoch"}, {"field": "value", "title": "@y", "format": ".4~g"}],
        },
    },
    height=180,
    data={"name": "points"},
    transform=[{"fold": "@seeds", "as": ["seed", "value"]}],
)

_CLASS = {
    "type": "ordinal",
    "sort": None,
    "scale": {"domain": "@places"},
    "axis": {
        "labelExpr": "names[datum.value]",
        "labelLimit": 90,
        "ticks": False,
        "domain": False,
        "labelOverlap": True,
        "labelPadding": 6,
    },
}
_CONFUSION = _layered(
    {
        "mark": {"type": "rect", "fill": _ACCENT, "stroke": "var(--paper)", "strokeWidth": 1},
        "encoding": {
            "fillOpacity": {
                "field": "share",
                "type": "quantitative",
                "scale": {"domain": [0, 1], "range": [0.12, 0.85]},
                "legend": None,
            },
            "tooltip": [
                {"field": "true_name", "title": "is"},
                {"field": "predicted_name", "title": "taken for"},
                {"field": "images"},
                {"field": "share", "title": "of the class", "format": ".1%"},
            ],
        },
    },
    {
        "mark": {"type": "text", "fontSize": 11, "aria": False},
        "encoding": {
            "text": {"field": "images"},
            "fill": {"condition": {"test": "datum.share > 0.5", "value": "var(--paper)"}, "value": _INK},
        },
    },
    height=300,
    data={"name": "points"},
    params=[{"name": "names", "value": "@names"}],
    transform=[
        {"joinaggregate": [{"op": "sum", "field": "images", "as": "of_class"}], "groupby": ["true"]},
        {"calculate": "datum.images / datum.of_class", "as": "share"},
        {"calculate": "names[datum.true]", "as": "true_name"},
        {"calculate": "names[datum.predicted]", "as": "predicted_name"},
    ],
    encoding={
        "x": _CLASS | {"field": "predicted", "title": "predicted", "axis": _CLASS["axis"] | {"labelAngle": 0}},  # type: ignore[operator]
        "y": _CLASS | {"field": "true", "title": "true"},
    },
)

_SHARE = {"scale": {"domain": [0, 1]}, "type": "quantitative", "axis": {"format": ".0%", "tickCount": 5}}
_CALIBRATION = _layered(
    {
        "data": {"values": [{"x": 0, "y": 0}, {"x": 1, "y": 1}]},
        "mark": {"type": "line", "stroke": _MUTED, "strokeDash": [2, 4], "strokeWidth": 1, "aria": False},
        "encoding": {
            "x": _SHARE | {"field": "x", "title": "mean confidence"},
            "y": _SHARE | {"field": "y", "title": "accuracy"},
        },
    },
    {
        "mark": {"type": "rule", "stroke": _MUTED, "aria": False},
        "encoding": {
            "x": _SHARE | {"field": "confidence", "title": "mean confidence"},
            "y": _SHARE | {"field": "low", "title": "accuracy"},
            "y2": {"field": "high"},
        },
    },
    {
        "mark": {"type": "point", "fill": _ACCENT, "stroke": _ACCENT, "opacity": 1},
        "encoding": {
            "x": _SHARE | {"field": "confidence", "title": "mean confidence"},
            "y": _SHARE | {"field": "accuracy", "title": "accuracy"},
            "size": {"field": "images", "type": "quantitative", "scale": {"range": [15, 250]}, "legend": None},
            "tooltip": [
                {"field": "images"},
                {"field": "confidence", "title": "mean confidence", "format": ".1%"},
                {"field": "accuracy", "format": ".1%"},
            ],
        },
    },
    height=300,
    data={"name": "points"},
)

_LATENCY = _layered(
    {
        "transform": [{"calculate": "datum.low + bar", "as": "high"}],
        "mark": {"type": "rect", "fill": _ACCENT, "opacity": 0.75},
        "encoding": {
            "x": _axis("low", "ms for one image", axis=_PLAIN_NUMBERS | {"grid": False}),
            "x2": {"field": "high"},
            "y": {"field": "samples", "type": "quantitative", "title": "samples", "axis": {"tickCount": 4}},
            "y2": {"datum": 0},
            "tooltip": [
                {"field": "low", "title": "from, ms", "format": ".4~g"},
                {"field": "high", "title": "to, ms", "format": ".4~g"},
                {"field": "samples"},
            ],
        },
    },
    {
        "data": {"name": "marks"},
        "mark": {"type": "rule", "stroke": _INK, "strokeDash": [4, 3], "aria": False},
        "encoding": {"x": {"field": "value", "type": "quantitative"}},
    },
    {
        "data": {"name": "marks"},
        "mark": {"type": "text", "align": "left", "baseline": "top", "dx": 4, "aria": False},
        "encoding": {
            "x": {"field": "value", "type": "quantitative"},
            "y": {"value": 0},
            "text": {"field": "name"},
        },
    },
    height=180,
    data={"name": "points"},
    params=[{"name": "bar", "value": "@bar"}],
)

TEMPLATES: dict[str, VegaSpec] = {
    "pareto": _PARETO,
    "curve": _CURVE,
    "confusion": _CONFUSION,
    "calibration": _CALIBRATION,
    "latency": _LATENCY,
}
