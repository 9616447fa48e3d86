// Conditions on figures: the grammar of leaderboard/where.py, to which a test holds this, and the same sentences.
"use strict";
// `dimensions` by base unit: what can be written; `units`: the base unit of each metric.
const whereReader = (dimensions, units) => {
  const MOST_CHARACTERS = 2000, MOST_DEPTH = 50, MOST_NAMES = 8, EXAMPLE = "throughput > 500";
  const SPACE = /[ \t\r\n\f\v\u00a0]*/y;
  const METRIC = /[A-Za-z0-9][A-Za-z0-9._-]*(?::[^ \t\r\n\f\v\u00a0()<>\u2264\u2265]+)?/y;
  const OPERATOR = /[<>=!~\u2264\u2265\u2260]+/y;
  const NUMBER = /([+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+))(?:[eE]([+-]?[0-9]+))?/y;
  const SEPARATED = /[.,_'][0-9]/y;
  const WORD = /[^ \t\r\n\f\v\u00a0()<>=!,;&|\u2264\u2265\u2260]+/y;
  const SIGN = /&&?|\|\|?|[,;!]/y;
  const OPERATORS = { "<": "<", "<=": "<=", "=<": "<=", "\u2264": "<=", ">": ">", ">=": ">=", "=>": ">=", "\u2265": ">=" };
  const TURNED = { "<": ">=", "<=": ">", ">": "<=", ">=": "<" };
  const SIGNS = { "&": "and", "&&": "and", ",": "and", ";": "and", "|": "or", "||": "or", "!": "not" };
  const SPEEDS = ["throughput", "latency_p50", "latency_p95", "peak_memory", "train_throughput"];
  const KEYWORDS = ["and", "or", "not"];
  const has = (object, key) => Object.prototype.hasOwnProperty.call(object, key);

  const escaped = (c) => {
    const short = { "\t": "\\t", "\n": "\\n", "\r": "\\r" }[c];
    const code = c.codePointAt(0), hex = code.toString(16);
    return short ?? (code < 256 ? `\\x${hex.padStart(2, "0")}` : code < 65536 ? `\\u${hex.padStart(4, "0")}` : `\\U${hex.padStart(8, "0")}`);
  };
  const plain = (text) => text.replace(/[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/gu, escaped);

  // The name that a word is, in any case; empty where it is none.
  const spelt = (word, names) => (has(names, word) ? word : Object.keys(names).find((name) => name.toLowerCase() === word.toLowerCase()) ?? "");

  // Of names that are nearly a word: what the fewest changes of one letter make of it, where these are few.
  const changes = (one, other) => {
    let row = [...Array(other.length + 1).keys()];
    for (const [i, c] of [...one].entries()) {
      const next = [i + 1];
      for (const [j, d] of [...other].entries()) next.push(Math.min(row[j] + (c !== d), row[j + 1] + 1, next[j] + 1));
      row = next;
    }
    return row.at(-1);
  };
  const didYouMean = (word, names) => {
    const far = names.map((name) => [name.includes(word) || word.includes(name) ? 0 : changes(word, name), name]);
    const [least, name] = far.sort((a, b) => a[0] - b[0])[0] ?? [Infinity];
    return least <= word.length / 3 ? ` Did you mean "${name}"?` : "";
  };

  const joined = (word, parts) => {
    const flat = parts.flatMap((part) => (part.word === word ? part.parts : [part]));
    return flat.length === 1 ? flat[0] : { word, parts: flat };
  };

  return (text) => {
    let at = 0, depth = 0;

    const error = (words, place = at) => {
      SIGN.lastIndex = place;
      const sign = SIGN.exec(text)?.[0];
      const said = sign ? `write "${SIGNS[sign]}" instead of "${sign}".` : words;
      const letters = [...text], before = [...text.slice(0, place)].length;
      const cut = `${before > 30 ? "..." : ""}${letters.slice(Math.max(0, before - 30), before + 30).join("")}...`;
      const shown = letters.length <= 60 ? text : cut;
      const where = before < letters.length ? `at character ${before + 1} of "${shown}"` : `at the end of "${shown}"`;
      return new SyntaxError(plain(`${where}: ${said}`));
    };
    const match = (pattern, move = true) => {
      pattern.lastIndex = at;
      const found = pattern.exec(text);
      if (found && move) at += found[0].length;
      return found?.[0] ?? "";
    };
    const skip = () => { match(SPACE); return at; };
    const rest = () => skip() < text.length;
    const keyword = (word) => {
      const start = skip();
      if (match(WORD).toLowerCase() === word) return true;
      at = start;
      return false;
    };

    const metric = () => {
      const start = skip(), asked = match(METRIC);
      if (!asked || KEYWORDS.includes(asked.toLowerCase())) throw error(`expected a condition, such as ${EXAMPLE}.`, start);
      if (has(units, asked)) return asked;
      const names = Object.keys(units), alike = names.filter((name) => name.toLowerCase() === asked.toLowerCase());
      if (alike.length === 1) return alike[0];
      NUMBER.lastIndex = 0;
      if (NUMBER.exec(asked)?.[0] === asked) throw error(`the metric comes first, then the number: ${EXAMPLE}.`, start);
      const speed = asked.toLowerCase(), measured = SPEEDS.some((name) => has(units, name));
      if (SPEEDS.includes(speed)) throw error(`no row has ${speed}${measured ? "" : ": speeds were not measured"}.`, start);
      const listed = names.slice(0, MOST_NAMES).join(", ") + (names.length > MOST_NAMES ? ` and ${names.length - MOST_NAMES} more` : "");
      throw error(`there is no metric "${asked}".${didYouMean(asked.toLowerCase(), names) || ` There are: ${listed}.`}`, start);
    };

    const unit = (name, number, word, place, start) => {
      const base = units[name];
      const own = has(dimensions, base) ? dimensions[base] : { bare: true, units: base ? { [base]: [0, 1] } : {} };
      const names = Object.keys(own.units);
      if (!word) {
        if (!own.bare && Number(number)) {
          const several = names.slice(0, 3), last = several.pop();
          throw error(`${name} needs a unit: write ${number} ${several.join(", ")} or ${last}.`, start);
        }
        return ["", [0, 1]];
      }
      const found = spelt(word, own.units);
      if (found) return [found, own.units[found]];
      if (spelt(word, units)) throw error(`expected "and" or "or" before ${word}.`, place);
      const known = names.join(", ") || "no unit";
      const other = Object.values(dimensions).find((each) => spelt(word, each.units));
      if (other) throw error(`${word} is a unit of ${other.name}; ${name} takes ${known}.`, place);
      throw error(`"${word}" is not a unit of ${name}.${didYouMean(word, names) || ` It takes ${known}.`}`, place);
    };

    const comparison = (turned) => {
      const name = metric();
      const place = skip(), sign = match(OPERATOR);
      if (!sign) throw error(`expected <, <=, > or >= after ${name}.`);
      if (!has(OPERATORS, sign)) throw error(`"${sign}" is not an operator; write <, <=, > or >=.`, place);
      const start = skip();
      NUMBER.lastIndex = start;
      const found = NUMBER.exec(text);
      if (!found) throw error(`expected a number after ${name} and its operator.`);
      at = start + found[0].length;
      if (match(SEPARATED, false)) throw error("a number has digits, at most one point and no separators: 1000, 0.95, 2.5e6.", start);
      const wordAt = skip();
      let word = match(WORD);
      if (KEYWORDS.includes(word.toLowerCase())) [at, word] = [wordAt, ""];
      const [written, [power, factor]] = unit(name, found[0], word, wordAt, start);
      const value = Number(`${found[1]}e${Number(found[2] ?? 0) + power}`) * factor;
      if (!Number.isFinite(value)) throw error(`${found[0]} is too large.`, start);
      if (units[name] === "fraction" && !written && Math.abs(value) > 1) throw error(`${name} is a share, at most 1; write ${found[0]}% for percent.`, start);
      return { metric: name, operator: turned ? TURNED[OPERATORS[sign]] : OPERATORS[sign], number: found[0], unit: written, value };
    };

    const part = (turned) => {
      const start = skip();
      let found;
      depth += 1;
      if (depth > MOST_DEPTH) throw error(`"(" and "not" can be nested at most ${MOST_DEPTH} deep.`);
      if (keyword("not")) {
        found = part(!turned);
      } else if (text.startsWith("(", start)) {
        at += 1;
        found = any(turned);
        if (!text.startsWith(")", skip())) {
          if (rest()) throw error('expected "and", "or" or ")".');
          throw error('no ")" closes this "(".', start);
        }
        at += 1;
      } else {
        found = comparison(turned);
      }
      depth -= 1;
      return found;
    };
    const several = (word, turnedWord, inner) => (turned) => {
      const parts = [inner(turned)];
      while (keyword(word)) parts.push(inner(turned));
      return joined(turned ? turnedWord : word, parts);
    };
    const every = several("and", "or", part);
    const any = several("or", "and", every);

    if ([...text].length > MOST_CHARACTERS) {
      throw new SyntaxError(`a condition has at most ${MOST_CHARACTERS.toLocaleString("en")} characters, not ${[...text].length.toLocaleString("en")}.`);
    }
    if (!rest()) throw new SyntaxError(`a condition is empty; write one such as ${EXAMPLE}.`);
    const found = any(false);
    if (rest()) {
      if (text[at] === ")") throw error('no "(" comes before this ")".');
      if (match(OPERATOR, false)) throw error('a comparison has one operator; join two by "and".');
      throw error('expected "and" or "or".');
    }
    return found;
  };
};

// As it is written.
const whereText = (clause) => {
  if (!clause.word) return `${clause.metric} ${clause.operator} ${clause.number}${clause.unit === "%" ? "%" : ` ${clause.unit}`.trimEnd()}`;
  const inner = clause.parts.map((part) => (part.word && clause.word === "and" ? `(${whereText(part)})` : whereText(part)));
  return inner.join(` ${clause.word} `);
};

// Whether it holds for values by metric; null where a metric without a value decides.
const whereHolds = (clause, values) => {
  if (clause.word) {
    const said = clause.parts.map((part) => whereHolds(part, values)), decides = clause.word === "or";
    return said.includes(decides) ? decides : said.includes(null) ? null : !decides;
  }
  const value = values[clause.metric] ?? null;
  if (value === null || Number.isNaN(value)) return null;
  return { "<": value < clause.value, "<=": value <= clause.value, ">": value > clause.value, ">=": value >= clause.value }[clause.operator];
};

const whereMetrics = (clause) => (clause.word ? [...new Set(clause.parts.flatMap(whereMetrics))] : [clause.metric]);
