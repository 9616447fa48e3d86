// What of the page follows a filter: which rows meet a condition, the words on that, and the front of the charts.
"use strict";
const pageFilter = () => {
  const { dimensions, units, better, sections } = JSON.parse(document.getElementById("figures").textContent);
  const read = whereReader(dimensions, units);

  const many = (count, words) => `${count} ${count === 1 ? words.replace("rows have", "row has") : words}`;

  // Of rows of which a condition says nothing, what they lack.
  const lacking = (clause, rows) => whereMetrics(clause).flatMap((metric) => {
    const without = rows.filter(({ values }) => (values[metric] ?? null) === null);
    const invalid = without.filter((row) => row.invalid.includes(metric)).length;
    return [[without.length - invalid, `rows have no ${metric}`], [invalid, `rows have an invalid ${metric}`]]
      .filter(([count]) => count > 0).map(([count, words]) => many(count, words));
  });

  // As leaderboard/pareto.py: best first, so that whatever dominates a point comes before it.
  const front = (rows, metrics) => {
    const merit = (row, metric) => (better[metric] === "lower" ? -row.values[metric] : row.values[metric]);
    const points = rows.filter(({ values }) => metrics.every((metric) => (values[metric] ?? null) !== null))
      .map((row) => [row.id, ...metrics.map((metric) => merit(row, metric))])
      .sort((a, b) => b[1] - a[1] || b[2] - a[2]);
    const found = [];
    for (const point of points) {
      const [, y, x] = point;
      if (!found.some(([, top, right]) => top >= y && right >= x && (top > y || right > x))) found.push(point);
    }
    return new Set(found.map(([id]) => id));
  };

  const kept = (columns, keep) => Object.fromEntries(Object.entries(columns).map(([name, values]) => [name, values.filter((_, i) => keep[i])]));

  const MOST_LABELS = 12;

  return {
    // The clause that a text means; null of an empty one.
    read: (text) => (text.trim() ? read(text) : null),

    // Of each section, whether its rows meet a clause.
    met: (clause) => sections.map(({ rows }) => rows.map(({ values }) => !clause || whereHolds(clause, values))),

    lacking: (clause) => (clause
      ? lacking(clause, sections.flatMap(({ rows }) => rows.filter(({ values }) => whereHolds(clause, values) === null)))
      : []),

    // A chart of some rows of a section: their points, the front among them, and that in words.
    chart: (chart, section, shown) => {
      const rows = sections[section].rows.filter((_, i) => shown[i]);
      const [ids, names] = [new Set(rows.map(({ id }) => id)), new Set(rows.map(({ name }) => name))];
      const { points, levels } = chart.data, { words } = chart;
      const some = kept(points, points.id.map((id) => ids.has(id)));
      const best = front(rows, [words.y_name, words.x_metric]);
      some.front = some.id.map((id) => best.has(id));
      some.labelled = some.front.map((on) => on || some.id.length <= MOST_LABELS);
      const told = some.model.map((model, i) => [some.x[i], `${model} (${some.y_text[i]}, ${some.x_text[i]})`])
        .filter((_, i) => some.front[i]).sort((a, b) => a[0] - b[0]).map(([, text]) => text).join("; ");
      const text = some.id.length === 0 ? "No row shown has both values."
        : `${words.y_name} against ${words.x_name} of the ${some.id.length} models shown. On the Pareto front among them: ${told || "none, for lack of valid numbers"}.`;
      return { ...chart, text, data: { points: some, levels: kept(levels, levels.model.map((name) => names.has(name))) } };
    },
  };
};
