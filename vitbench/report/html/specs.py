"""The charts as Vega-Lite specifications, one for each kind; https://vega.github.io/vega-lite/docs/.

A page may hold hundreds of charts of seven kinds. So each kind is one template, and a chart is no more than its words
and numbers: the page's script puts them in. A string of a template that begins with ``@`` stands for one of the words.

Colours are variables of the page's style sheet, so that dark mode and print need no second drawing; a scale of colours
cannot be made of them, so that the confusion matrix shades by opacity. Nothing is told by colour alone.
"""

from __future__ import annotations

from typing import Any

from vitbench.report.training_curves import CLOCK

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


def _axis(field: str, title: str, *, padding: int = 8, **more: Any) -> VegaSpec:
    scale = {"zero": False, "nice": True, "padding": padding}
    return {"field": field, "type": "quantitative", "title": title, "scale": scale, **more}


def _layer(mark: str, look: VegaSpec, encoding: VegaSpec, **more: Any) -> VegaSpec:
    return {**more, "mark": {"type": mark, **look}, "encoding": encoding}


def _layered(*layers: VegaSpec, height: int, **more: Any) -> VegaSpec:
    return {"width": "container", "height": height, "data": {"name": "points"}, **more, "layer": list(layers)}


def _tooltip(*lines: tuple[str, ...]) -> list[VegaSpec]:
    """Return what a tooltip tells: of each line the field, its title and its format."""
    return [dict(zip(("field", "title", "format"), line, strict=False)) for line in lines]


_PLAIN_NUMBERS = {"format": ",.4~r", "tickCount": 6}
_TIGHT = {"zero": False, "nice": False}
_X = _axis("x", "@x", axis=_PLAIN_NUMBERS, scale={"type": "@scale", "zero": "@zero", "nice": False, "padding": 24})
_Y = _axis("y", "@y", axis=_PLAIN_NUMBERS, padding=16)
_ON_FRONT = {"test": "datum.front", "value": _ACCENT}
_INTERVAL = {"stroke": _MUTED, "opacity": 0.7, "aria": False}
_TOLD = "datum.model + ', ' + datum.y_text + ', ' + datum.x_text + ', ' + datum.verdict"
_PARETO = _layered(
    _layer("rule", {"strokeDash": [2, 4], "stroke": _MUTED, "aria": False}, {"y": _Y}, data={"name": "levels"}),
    _layer(
        "text",
        {"align": "right", "baseline": "bottom", "dy": -3, "fill": _MUTED, "limit": 220, "aria": False},
        {"y": _Y, "x": {"value": "width"}, "text": {"field": "model"}},
        data={"name": "levels"},
    ),
    _layer(
        "line",
        {"stroke": _ACCENT, "strokeWidth": 1.5, "opacity": 0.5, "aria": False},
        {"x": _X, "y": _Y, "order": {"field": "x"}},
        transform=[{"filter": "datum.front"}],
    ),
    _layer("rule", _INTERVAL, {"x": _X | {"field": "x_low"}, "x2": {"field": "x_high"}, "y": _Y}),
    _layer("rule", _INTERVAL, {"x": _X, "y": _Y | {"field": "y_low"}, "y2": {"field": "y_high"}}),
    _layer(
        "point",
        {"size": 90, "strokeWidth": 1.5, "opacity": 1, "cursor": "pointer"},
        {
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
            "tooltip": _tooltip(
                ("model", "model"), ("y_text", "@y_name"), ("x_text", "@x_name"), ("verdict", "verdict")
            ),
        },
        transform=[{"calculate": _TOLD, "as": "told"}],
    ),
    _layer(
        "text",
        {
            "align": {"expr": "datum.leftwards ? 'right' : 'left'"},
            "baseline": "bottom",
            "dx": {"expr": "datum.leftwards ? -8 : 8"},
            "dy": -4,
            "limit": 170,
            "aria": False,
        },
        {"x": _X, "y": _Y, "text": {"field": "model"}},
        transform=[{"filter": "datum.labelled"}],
    ),
    height=340,
)

_KEY = {"field": "key", "type": "nominal", "sort": None}
_LEGEND = {
    "orient": "bottom",
    "columns": {"expr": "max(1, floor(width / 260))"},
    "labelLimit": 235,
    "symbolSize": 400,
    "symbolStrokeWidth": 2,
}
# A count of ticks, since the least step (`tickMinStep`) gives halves of few epochs all the same.
_WHOLE_EPOCHS = {"tickCount": {"expr": "over === 'epoch' ? min(6, max(1, floor(span(domain('x'))))) : 6"}}
_TRAINED = {
    "x": _axis("x", "", axis=_PLAIN_NUMBERS | _WHOLE_EPOCHS | {"grid": False, "title": None}, scale=_TIGHT),
    "y": _axis("y", "", axis=_PLAIN_NUMBERS | {"title": None}),
}
_CURVES = _layered(
    _layer(
        "line",
        {"strokeWidth": 1.8, "aria": False},
        {
            **_TRAINED,
            "detail": {"field": "line"},
            "stroke": _KEY | {"scale": {"domain": "@keys", "range": "@colours"}, "legend": _LEGEND},
            "strokeDash": _KEY | {"scale": {"domain": "@keys", "range": "@dashes"}},
            "opacity": {"condition": {"param": "picked", "value": 0.9}, "value": 0.1},
            "order": {"field": "epoch", "type": "quantitative"},
        },
        params=[{"name": "picked", "select": {"type": "point", "fields": ["key"]}, "bind": "legend"}],
    ),
    _layer(  # the tooltip of a line shows its first point only
        "point",
        {"size": 130, "opacity": 0, "aria": False},
        {
            **_TRAINED,
            "tooltip": _tooltip(
                ("model",), ("seed",), ("epoch",), (CLOCK, "seconds of training", ",.4~r"), ("y", "value", ",.4~r")
            ),
        },
        transform=[{"filter": "isValid(datum.y)"}],
    ),
    height=300,
    params=[
        {"name": "names", "value": "@names"},
        {"name": "keys", "value": "@keys"},
        {
            "name": "quantity",
            "value": "@quantity",
            "bind": {"input": "select", "options": "@quantities", "labels": "@quantity_words", "name": "Training:"},
        },
        {
            "name": "over",
            "value": "epoch",
            "bind": {"input": "select", "options": "@over", "labels": "@over_words", "name": "over"},
        },
    ],
    transform=[
        {"calculate": "names[datum.row]", "as": "model"},
        {"calculate": "keys[min(datum.row, length(keys) - 1)]", "as": "key"},
        {"calculate": "datum[quantity]", "as": "y"},
        {"calculate": "datum[over]", "as": "x"},
        {"filter": "isValid(datum.x)"},
    ],
)

_CLASS_AXIS: VegaSpec = {
    "labelExpr": "names[datum.value]",
    "labelLimit": 90,
    "ticks": False,
    "domain": False,
    "labelOverlap": True,
    "labelPadding": 6,
}
_CLASS: VegaSpec = {"type": "ordinal", "sort": None, "scale": {"domain": "@places"}, "axis": _CLASS_AXIS}
_CONFUSION = _layered(
    _layer(
        "rect",
        {"fill": _ACCENT, "stroke": "var(--paper)", "strokeWidth": 1},
        {
            "fillOpacity": {
                "field": "share",
                "type": "quantitative",
                "scale": {"domain": [0, 1], "range": [0.12, 0.85]},
                "legend": None,
            },
            "tooltip": _tooltip(
                ("true_name", "is"), ("predicted_name", "taken for"), ("images",), ("share", "of the class", ".1%")
            ),
        },
    ),
    _layer(
        "text",
        {"fontSize": 11, "aria": False},
        {
            "text": {"field": "images"},
            "fill": {"condition": {"test": "datum.share > 0.5", "value": "var(--paper)"}, "value": _INK},
        },
    ),
    height=300,
    params=[{"name": "names", "value": "@names"}],
    transform=[
        {"joinaggregate": [{"op": "sum", "field": "images", "as": "of_class"}], "groupby": ["true"]},
        {"calculate": "datum.images / datum.of_class", "as": "share"},
        {"calculate": "names[datum.true]", "as": "true_name"},
        {"calculate": "names[datum.predicted]", "as": "predicted_name"},
    ],
    encoding={
        "x": _CLASS | {"field": "predicted", "title": "predicted", "axis": _CLASS_AXIS | {"labelAngle": 0}},
        "y": _CLASS | {"field": "true", "title": "true"},
    },
)


def _share(field: str, title: str) -> VegaSpec:
    axis = {"format": ".0%", "tickCount": 5}
    return {"scale": {"domain": [0, 1]}, "type": "quantitative", "axis": axis, "field": field, "title": title}


_CALIBRATION = _layered(
    _layer(
        "line",
        {"stroke": _MUTED, "strokeDash": [2, 4], "strokeWidth": 1, "aria": False},
        {"x": _share("x", "mean confidence"), "y": _share("y", "accuracy")},
        data={"values": [{"x": 0, "y": 0}, {"x": 1, "y": 1}]},
    ),
    _layer(
        "rule",
        {"stroke": _MUTED, "aria": False},
        {"x": _share("confidence", "mean confidence"), "y": _share("low", "accuracy"), "y2": {"field": "high"}},
    ),
    _layer(
        "point",
        {"fill": _ACCENT, "stroke": _ACCENT, "opacity": 1},
        {
            "x": _share("confidence", "mean confidence"),
            "y": _share("accuracy", "accuracy"),
            "size": {"field": "images", "type": "quantitative", "scale": {"range": [15, 250]}, "legend": None},
            "tooltip": [
                *_tooltip(("images",), ("confidence", "mean confidence", ".1%")),
                {"field": "accuracy", "format": ".1%"},
            ],
        },
    ),
    height=300,
)

_LATENCY = _layered(
    _layer(
        "rect",
        {"fill": _ACCENT, "opacity": 0.75},
        {
            "x": _axis("low", "ms for one image", axis=_PLAIN_NUMBERS | {"grid": False}),
            "x2": {"field": "high"},
            "y": {"field": "samples", "type": "quantitative", "title": "samples", "axis": {"tickCount": 4}},
            "y2": {"datum": 0},
            "tooltip": _tooltip(("low", "from, ms", ".4~g"), ("high", "to, ms", ".4~g"), ("samples",)),
        },
        transform=[{"calculate": "datum.low + bar", "as": "high"}],
    ),
    _layer(
        "rule",
        {"stroke": _INK, "strokeDash": [4, 3], "aria": False},
        {"x": {"field": "value", "type": "quantitative"}},
        data={"name": "marks"},
    ),
    _layer(
        "text",
        {"align": "left", "baseline": "top", "dx": 4, "aria": False},
        {"x": {"field": "value", "type": "quantitative"}, "y": {"value": 0}, "text": {"field": "name"}},
        data={"name": "marks"},
    ),
    height=180,
    params=[{"name": "bar", "value": "@bar"}],
)

_MARKED = {
    "x": _axis("x", "@x", axis=_PLAIN_NUMBERS | {"grid": False, "tickMinStep": "@step"}),
    "y": _axis("y", "@y", axis=_PLAIN_NUMBERS),
}
_SERIES = {"field": "series", "type": "nominal", "sort": None}
_STROKE = {"stroke": _SERIES | {"scale": {"domain": "@keys", "range": "@colours"}}}
_SHAPE = {"shape": _SERIES | {"scale": {"domain": "@keys", "range": "@shapes"}}}
_VALUES = [("x", "@x", ",.4~r"), ("y", "@y", ",.4~r")]


def _points(look: VegaSpec, line: VegaSpec, point: VegaSpec) -> VegaSpec:
    return _layered(
        _layer("line", {"strokeWidth": 1.5, "aria": False, **look}, _MARKED | line, data={"name": "joined"}),
        _layer("point", {"size": 50, "strokeWidth": 1.8, "opacity": 1, **look}, _MARKED | point),
        height=280,
    )


_POINTS = _points({"stroke": _ACCENT}, {}, {"tooltip": _tooltip(*_VALUES)})
_POINTS_OF_SERIES = _points({}, _STROKE, {**_STROKE, **_SHAPE, "tooltip": _tooltip(("series", "series"), *_VALUES)})

TEMPLATES: dict[str, VegaSpec] = {
    "pareto": _PARETO,
    "curves": _CURVES,
    "confusion": _CONFUSION,
    "calibration": _CALIBRATION,
    "latency": _LATENCY,
    "points": _POINTS,
    "series": _POINTS_OF_SERIES,
}
