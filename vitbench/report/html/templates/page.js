// What the page does beyond being read: sorts, filters, hides columns, copies, and draws charts when they come into sight.
"use strict";
(() => {
  const { config, templates, charts, beside } = JSON.parse(document.getElementById("data").textContent);
  // The libraries stand in the page as compressed modules; a module can only be imported from an address.
  const library = async (id) => {
    const packed = Uint8Array.from(atob(document.getElementById(id).textContent), (c) => c.charCodeAt(0));
    const unpacked = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
    const source = await new Response(unpacked).text();
    const address = URL.createObjectURL(new Blob([source], { type: "text/javascript" }));
    const module = await import(address);
    URL.revokeObjectURL(address);
    return module.default;
  };

  const all = (selector, root = document) => [...root.querySelectorAll(selector)];

  // Charts

  const records = (columns) => {
    const [names, values] = [Object.keys(columns), Object.values(columns)];
    return values[0].map((_, i) => Object.fromEntries(names.map((name, k) => [name, values[k][i]])));
  };

  // A template's strings that begin with "@" stand for the chart's words; null takes the key away.
  const filled = (part, words) => {
    if (typeof part === "string") return part.startsWith("@") ? words[part.slice(1)] ?? undefined : part;
    if (Array.isArray(part)) return part.map((each) => filled(each, words));
    if (part === null || typeof part !== "object") return part;
    return Object.fromEntries(Object.entries(part).map(([key, value]) => [key, filled(value, words)]));
  };

  const specification = ({ kind, words, data }, description) => {
    const datasets = Object.fromEntries(Object.entries(data).map(([name, columns]) => [name, records(columns)]));
    const spec = filled(templates[kind], words);
    // Vega warns of a scale's field without values.
    const layer = spec.layer.filter((each) => datasets[each.data?.name]?.length !== 0);
    return { ...spec, layer, description, datasets };
  };

  const embedding = library("vega");

  const draw = async (place) => {
    if (place.dataset.drawn || filtered.get(place)?.data.points.id.length === 0 || place.closest("[hidden], details:not([open])")) return;
    place.dataset.drawn = "begun";
    const chart = filtered.get(place) ?? charts[place.dataset.chart];
    const spec = specification(chart, place.querySelector(".text").textContent);
    const embed = await embedding;
    const drawn = await embed(place.querySelector(".drawing"), spec, {
      mode: "vega-lite", renderer: "svg", actions: false, ast: true, config, defaultStyle: false,
      tooltip: { disableDefaultStyle: true },
    });
    drawn.view.addEventListener("click", (_, item) => { if (item?.datum?.id) location.hash = item.datum.id; });
    views.set(place, drawn);
    place.dataset.drawn = "done";
    if (chart !== (filtered.get(place) ?? charts[place.dataset.chart])) await show(place); // filtered meanwhile
  };

  // Charts whose rows are filtered: what is shown of them, and what they say otherwise.
  const [filtered, views, unfiltered] = [new Map(), new Map(), new Map()];

  const show = async (place) => {
    if (place.dataset.drawn === "begun") return;
    views.get(place)?.finalize();
    views.delete(place);
    place.querySelector(".drawing").replaceChildren();
    delete place.dataset.drawn;
    if (filtered.get(place)?.data.points.id.length !== 0) await draw(place);
  };

  const follow = (place, chart) => {
    const text = place.querySelector(".text");
    if (!unfiltered.has(place)) unfiltered.set(place, text.textContent);
    if (!chart && !filtered.has(place)) return;
    if (chart) filtered.set(place, chart);
    else filtered.delete(place);
    text.textContent = chart?.text ?? unfiltered.get(place);
    show(place);
  };

  const drawVisible = async (root = document) => { for (const place of all(".chart", root)) await draw(place); };

  for (const axes of all(".axes")) {
    const places = all(".chart", axes.parentElement);
    axes.hidden = false;
    axes.addEventListener("change", ({ target }) => {
      places.forEach((place, i) => { place.hidden = String(i) !== target.value; });
      drawVisible(axes.parentElement);
    });
  }

  // Figures: one step at a time; without this script they lie side by side.

  for (const stepper of all(".stepper")) {
    const [range, told, steps] = [stepper.querySelector("input"), stepper.querySelector("output"), all(".step", stepper.parentElement)];
    const show = () => {
      steps.forEach((step, i) => { step.hidden = i !== range.valueAsNumber; });
      told.textContent = steps[range.valueAsNumber].dataset.step;
      range.setAttribute("aria-valuetext", told.textContent);
      drawVisible(stepper.parentElement);
    };
    range.addEventListener("input", show);
    stepper.hidden = false;
    show();
  }

  // Two models side by side

  const element = (tag, properties, ...children) => {
    const made = Object.assign(document.createElement(tag), properties);
    made.append(...children);
    return made;
  };
  const name = (text) => element("bdi", {}, ...text.split(/(?<=[-_/:,])/).flatMap((part) => [part, element("wbr", {})]));
  const percent = (part, whole) => `${(100 * part / whole).toFixed(1)} %`;
  const MOST_SHOTS = 6;

  const classTable = (classes, lines, names) => {
    const head = ["class", ...names, "difference, points"].map((text) => element("th", { scope: "col" }, name(text)));
    const rows = lines.map(([label, images, first, second, sure]) => {
      const points = 100 * (second - first) / images;
      const difference = `${points > 0 ? "+" : "\u2212"}${Math.abs(points).toFixed(1)}${sure ? " *" : ""}`;
      return element("tr", {},
        element("th", { scope: "row" }, name(classes[label]), " ", element("small", {}, `${images.toLocaleString("en")} images`)),
        ...[percent(first, images), percent(second, images), difference].map((text) => element("td", {}, text)));
    });
    const title = "Recall of the classes on which they differ most (* significant)";
    const table = element("table", {}, element("caption", {}, title), element("thead", {}, element("tr", {}, ...head)), element("tbody", {}, ...rows));
    return element("div", { className: "scroll narrow", tabIndex: 0, role: "region", ariaLabel: title }, table);
  };

  const shot = ({ thumbnails, captions, labels, classes, models, answers }, i, pair) => {
    const said = pair.map((k) => `${models[k]}: ${classes[answers[k].classes[i]]} ${answers[k].confidence[i]}%`);
    const [image, k] = thumbnails[i];
    const picture = element("i", { className: image, role: "img", ariaLabel: [classes[labels[i]], ...said, captions[i]].join("; ") });
    picture.style.setProperty("--k", k);
    return element("li", {}, picture, element("strong", {}, name(classes[labels[i]])), " ", ...said.flatMap((text) => [element("span", {}, name(text)), " "]), element("small", {}, name(captions[i])));
  };

  const shots = (data, place, right, wrong, pair) => {
    const found = data.labels.map((_, i) => i)
      .filter((i) => data.answers[right].classes[i] === data.labels[i] && data.answers[wrong].classes[i] !== data.labels[i])
      .sort((a, b) => data.answers[wrong].confidence[b] - data.answers[wrong].confidence[a]).slice(0, MOST_SHOTS);
    if (found.length === 0) return [];
    const title = `Right: ${data.models[right]}, wrong: ${data.models[wrong]}`;
    const list = element("ul", { className: place.dataset.coarse === "1" ? "shots coarse" : "shots", ariaLabel: title }, ...found.map((i) => shot(data, i, pair)));
    list.style.setProperty("--aspect", place.dataset.aspect);
    return [element("p", { className: "title" }, name(title)), list];
  };

  for (const place of all(".beside")) {
    const [data, [first, second], box] = [beside[place.dataset.section], all("select", place), place.querySelector(".pair")];
    const show = () => {
      const pair = [first, second].map(({ value }) => Number(value));
      if (pair[0] === pair[1]) return box.replaceChildren(element("p", {}, "Choose two different models."));
      const [low, high] = pair.toSorted((a, b) => a - b);
      const [words, lines] = data.pairs[`${low} ${high}`];
      const turned = pair[0] === low ? lines : lines.map(([label, images, a, b, sure]) => [label, images, b, a, sure]);
      box.replaceChildren(
        ...words.filter(Boolean).map((text) => element("p", {}, text)),
        ...(turned.length ? [classTable(data.classes, turned, pair.map((k) => data.models[k]))] : []),
        ...shots(data, place, pair[0], pair[1], pair),
        ...shots(data, place, pair[1], pair[0], pair),
      );
    };
    second.value = "1";
    place.addEventListener("change", show);
    place.hidden = false;
    show();
  }

  // Panels

  document.addEventListener("toggle", ({ target }) => {
    if (!target.open || !target.classList.contains("panel")) return;
    history.replaceState(null, "", `#${target.id}`);
    drawVisible(target);
  }, true);

  const openTarget = () => {
    const target = document.getElementById(location.hash.slice(1));
    if (target?.tagName !== "DETAILS") return;
    target.open = true;
    target.scrollIntoView();
    target.querySelector("summary").focus({ preventScroll: true });
  };
  addEventListener("hashchange", openTarget);

  // Tables

  const toolbar = document.querySelector(".toolbar");
  const said = document.getElementById("said");
  const say = (text) => { said.textContent = text; };
  const FIRST = { higher: ["desc", "asc"], lower: ["asc", "desc"] };

  // Rows without a figure come last in both directions.
  const compare = (sign) => (a, b) => (a === "") - (b === "") || sign * (a - b);
  const compareWords = (sign) => (a, b) => (a === "") - (b === "") || sign * a.localeCompare(b);

  const makeTables = (DataTable) => {
    // A phone has room for what is ranked by and the speeds; the others are a tap away.
    if (matchMedia("(max-width: 40rem)").matches) {
      for (const box of all("#columns input:not([data-narrow])")) box.checked = false;
    }
    const unasked = new Set(all("#columns input:not(:checked)").map(({ value }) => value));
    DataTable.type("figure", "order", { asc: compare(1), desc: compare(-1) });
    DataTable.type("words", "order", { asc: compareWords(1), desc: compareWords(-1) });
    return all("table.board").map((table) => new DataTable(table, {
      autoWidth: false, info: false, order: [], paging: false,
      layout: { topStart: null, topEnd: null, bottomStart: null, bottomEnd: null },
      language: { zeroRecords: "No row matches the filter." },
      columns: all("thead th", table).map(({ dataset }) => ({
        name: dataset.key,
        type: dataset.key === "model" ? "html" : dataset.kind ?? "figure",
        searchable: dataset.key === "model",
        orderSequence: FIRST[dataset.better] ?? ["asc", "desc"],
        visible: !unasked.has(dataset.key),
      })),
    }));
  };

  const showColumn = (tables, key, visible) => {
    for (const table of tables) table.column(`${key}:name`).visible(visible, false);
  };

  const sectionOf = (table) => table.table().node().closest("section");

  // Rows whose names hold a text and whose figures meet a condition; the charts show the same.
  const filterRows = (tables, filter, text, clause) => {
    const met = filter.met(clause);
    tables.forEach((table, k) => table.search(text).search.fixed("where", (_, __, i) => met[k][i]).draw());
    const shown = tables.map((table) => {
      const places = new Set(table.rows({ search: "applied" }).indexes().toArray());
      return met[tables.indexOf(table)].map((_, i) => places.has(i));
    });
    const count = shown.flat().filter(Boolean).length, of = shown.flat().length;
    say(text || clause ? [`${count} of ${of} rows`, ...filter.lacking(clause)].join("; ") : "");
    tables.forEach((table, k) => {
      const whole = shown[k].every(Boolean);
      for (const place of all(".picture .chart", sectionOf(table))) {
        follow(place, whole ? null : filter.chart(charts[place.dataset.chart], k, shown[k]));
      }
    });
  };

  // Markdown for GitHub, by the rules of report/markdown.py: names mean nothing there, and make no links.
  const ENTITIES = { "&": "&amp;", "<": "&lt;", ">": "&gt;", "@": "&#64;", "#": "&#35;", ":": "&#58;", ".": "&#46;" };
  const LINKED = /[&<>@#]|:(?=\/\/)|(?<=www)\./gi;
  const SPECIAL = /[\\`*|[\]~$!]|(?<![\p{L}\p{N}])_|_(?![\p{L}\p{N}])|^[-+=]|(?<=^\d)[.)]|(?<=^\d\d)[.)]/gu;
  const markdownText = (text) => text.trim().replace(/\s+/g, " ")
    .replace(SPECIAL, "\\$&").replace(LINKED, (found) => ENTITIES[found]);

  const markdownTable = (table) => {
    const node = table.table().node();
    const line = (row) => `| ${[...row.cells].map((cell) => markdownText(cell.textContent)).join(" | ")} |`;
    const head = node.tHead.rows[0];
    const rule = `|${[...head.cells].map((cell) => (cell.dataset.key === "model" ? ":---" : "---:")).join("|")}|`;
    const rows = table.rows({ search: "applied", order: "applied" }).nodes().toArray();
    return [line(head), rule, ...rows.map(line)].join("\n");
  };

  const markdown = (tables) => tables.filter((table) => !sectionOf(table).hidden).map((table) => {
    const [title, conditions] = ["h2", "h2 + p"].map((part) => sectionOf(table).querySelector(part).textContent);
    return `### ${markdownText(title)}\n\n${markdownText(conditions)}\n\n${markdownTable(table)}\n`;
  }).join("\n");

  const copy = async (text) => {
    try {
      await navigator.clipboard.writeText(text);
    } catch { // Not allowed, or a page from disk has no clipboard here.
      const area = Object.assign(document.createElement("textarea"), { value: text });
      document.body.append(area);
      area.select();
      const done = document.execCommand("copy");
      area.remove();
      if (!done) return say("The browser refused to copy.");
    }
    return say("Copied.");
  };

  const connect = (tables) => {
    const search = document.getElementById("search");
    const conditions = document.getElementById("conditions");
    const [where, fault, filter] = [document.getElementById("where"), document.getElementById("where-fault"), pageFilter()];
    const refilter = () => {
      try {
        filterRows(tables, filter, search.value, filter.read(where.value));
        fault.textContent = "";
      } catch (error) { // The rows stay as they are until the condition is whole.
        if (!(error instanceof SyntaxError)) throw error;
        fault.textContent = `${error.message[0].toUpperCase()}${error.message.slice(1)}`;
      }
      where.setAttribute("aria-invalid", fault.textContent !== "");
    };
    search.addEventListener("input", refilter);
    where.addEventListener("input", refilter);
    document.getElementById("copy").addEventListener("click", () => copy(markdown(tables)));
    conditions?.addEventListener("change", () => {
      for (const section of all("section.condition")) section.hidden = conditions.value !== "" && section.id !== conditions.value;
      drawVisible();
    });
    const menu = document.getElementById("columns");
    menu.addEventListener("change", ({ target }) => showColumn(tables, target.value, target.checked));
    document.addEventListener("click", ({ target }) => { if (!menu.contains(target)) menu.open = false; });
    menu.addEventListener("keydown", ({ key }) => {
      if (key !== "Escape") return;
      menu.open = false;
      menu.querySelector("summary").focus();
    });
    toolbar.hidden = false;
  };

  const start = async () => {
    if (toolbar) connect(makeTables(await library("datatables")));
    performance.mark("tables");
    openTarget();
    await drawVisible();
    performance.mark("drawn");
    document.documentElement.dataset.ready = "yes";
  };
  start();
})();
