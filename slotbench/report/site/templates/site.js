"use strict";
// Draws the tables and the plots of the index from the data in it. Texts only become text nodes
// and attributes: no name from a file is ever markup.
const PAGE = matchMedia("(max-width: 46rem)").matches ? 20 : 100;
const MOST_DOTS = 40;
const $ = (id) => document.getElementById(id);
const all = (query, root = document) => [...root.querySelectorAll(query)];
const make = (tag, attributes = {}, ...inside) => {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value || value === 0) made.setAttribute(name, value);
  }
  made.append(...inside.filter((each) => each || each === 0));
  return made;
};
const percent = (share) => `${(100 * share).toFixed(2)}%`;
const mark = (family) => make("span", { class: "mark", "data-family": family });
const data = JSON.parse($("data").textContent);
const { board } = data;
const [primary] = board.measures;

// The state of the page stands in its address, so that it can be shared.
let state = new URLSearchParams();
const remember = (name, value, usual = "") => {
  if (value === usual || !value) state.delete(name);
  else state.set(name, value);
  history.replaceState(null, "", `#${state.size ? "?" : ""}${state}`);
};
const list = (name) => (state.get(name) ?? "").split(",").filter(Boolean);

const textOf = (column, cell) => ("better" in column ? cell?.[1] ?? "—" : cell);
const letters = new Intl.Collator("en", { numeric: true });

// A table of `data`; `options.rows()` are the rows to show, `options.key` its sort in the state.
const table = (root, own, options) => {
  let limit = PAGE;
  const places = new Map(own.columns.map((column, place) => [column.name, place]));
  const order = () => {
    const wish = state.get(options.key) ?? options.sort;
    const name = wish.replace(/^[+-]/, "");
    return places.has(name) ? { name, down: wish.startsWith("-") } : { name: "", down: false };
  };
  const sorted = (rows) => {
    const { name, down } = order();
    if (!name) return rows;
    const place = places.get(name);
    const numeric = "better" in own.columns[place];
    const sign = down ? -1 : 1;
    // A missing value stands last, whichever way the column is sorted.
    const value = numeric ? (row) => row.cells[place]?.[0] ?? null : (row) => row.cells[place] || null;
    return [...rows].sort((one, other) => {
      const [a, b] = [value(one), value(other)];
      if (a === null || b === null) return (a === null) - (b === null);
      return sign * (numeric ? a - b : letters.compare(a, b));
    });
  };
  // The first click shows the best first: of words those from A.
  const first = (column) => ("better" in column && column.better >= 0 ? "-" : "+");
  const sort = (name, sign) => {
    remember(options.key, (sign ?? first(own.columns[places.get(name)])) + name, options.sort);
    draw();
  };
  const head = (columns) => {
    const names = make("tr");
    const { name: chosen, down } = order();
    for (const column of columns) {
      const button = make("button", { type: "button", title: column.hint }, ...broken(column.name));
      const active = column.name === chosen;
      button.addEventListener("click", () => {
        const other = down ? "+" : "-";
        sort(column.name, active ? other : undefined);
        all("thead button", root)[columns.indexOf(column)]?.focus();
      });
      names.append(make("th", {
        scope: "col", class: "better" in column && "n", "data-column": column.name,
        "aria-sort": active && (down ? "descending" : "ascending"),
      }, button));
    }
    const groups = make("tr", { class: "groups" });
    for (const column of columns) {
      const last = groups.lastChild;
      if (last && last.dataset.group === column.group) last.colSpan += 1;
      else groups.append(make(column.group ? "th" : "td", { scope: column.group && "colgroup" }, column.group));
      groups.lastChild.dataset.group = column.group;
    }
    return make("thead", {}, columns.some((column) => column.group) && groups, names);
  };
  const line = (row, columns, index) => {
    const made = make("tr", { tabindex: index ? "-1" : "0", "data-family": row.family });
    columns.forEach((column, at) => {
      const cell = row.cells[places.get(column.name)];
      const numeric = "better" in column;
      const td = make("td", { class: [numeric && "n", numeric && !cell && "none", numeric && cell?.[4] && "best", !at && "first"].filter(Boolean).join(" "), "data-label": column.name });
      if (!at) {
        if (row.family) td.append(mark(row.family));
        if (row.from) td.append(make("span", { class: row.from, title: ORIGINS[row.from], role: "img", "aria-label": ORIGINS[row.from] }, SIGNS[row.from]), " ");
        td.append(row.link ? make("a", { href: row.link }, cell) : cell);
        if (row.warnings?.length) td.append(make("details", { class: "warning" }, make("summary", {}, `${row.warnings.length} ⚠`), ...row.warnings.map((text) => make("p", {}, text))));
      } else if (numeric) {
        td.append(textOf(column, cell));
        if (cell?.[2] && column.name === primary) td.append(" ", make("small", {}, cell[2]));
        else if (cell?.[2]) td.title = cell[2];
        if (cell?.[3]) td.append(" ", make("small", {}, cell[3]));
      } else if (column.name === "settings") {
        td.classList.add("settings");
        td.title = cell || "";
        td.append(cell || "");
      } else td.append(cell || "");
      made.append(td);
    });
    return made;
  };
  const body = make("tbody");
  body.addEventListener("keydown", (event) => {
    const row = event.target.closest("tr");
    const next = { ArrowDown: row.nextSibling, ArrowUp: row.previousSibling, Home: body.firstChild, End: body.lastChild }[event.key];
    if (next) next.focus();
    else if (event.key === "Enter" && event.target === row) row.querySelector("a")?.click();
    if (next) event.preventDefault();
  });
  const draw = () => {
    const found = options.rows();
    const rows = sorted(found.rows);
    // What all rows that are shown share stands in the caption.
    const constant = own.columns.filter((column) => column.constant && rows.length &&
      rows.every((row) => row.cells[places.get(column.name)] === rows[0].cells[places.get(column.name)]));
    const columns = own.columns.filter((column) => options.shown(column) && !constant.includes(column));
    const said = constant.map((column) => [column.name, rows[0].cells[places.get(column.name)]])
      .filter(([, text]) => text).map((pair) => pair.join(" ")).join(" · ");
    const count = rows.length === found.all.length ? `${rows.length}` : `${rows.length} of ${found.all.length}`;
    const caption = make("caption", {}, make("span", { class: "count", "aria-live": "polite" }, `${count} ${found.all.length === 1 ? "row" : "rows"}`), said && make("span", {}, ` ${rows.length > 1 ? "All: " : ""}${said}`));
    body.replaceChildren(...rows.slice(0, limit).map((row, index) => line(row, columns, index)));
    const more = rows.length > limit && make("button", { type: "button", class: "more" }, `Show ${Math.min(PAGE, rows.length - limit)} more rows`);
    if (more) more.addEventListener("click", () => { limit += PAGE; draw(); });
    const scroll = root.querySelector(".scroll")?.scrollLeft ?? 0;
    root.replaceChildren(make("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": `Table: ${options.title}` },
      make("table", { class: "cards", id: `${root.id}-table` }, caption, head(columns), body)), ...(more ? [more] : []));
    root.firstChild.scrollLeft = scroll;
    options.drawn?.(rows, columns, { order, sort, first });
  };
  return { draw, reset: () => { limit = PAGE; draw(); } };
};
const ORIGINS = { own: "run here", published: "published", both: "some seeds published, some run here" };
const SIGNS = { own: "●", published: "○", both: "◐" };
// A metric's key may be broken after its slashes.
const broken = (name) => name.split("/").flatMap((part, at, parts) =>
  (at < parts.length - 1 ? [`${part}/`, document.createElement("wbr")] : [part]));

// Search: every word is in one of the texts of a row.
const fits = (own, row, query) => {
  row.words ??= own.columns.map((column, at) => ("better" in column ? "" : row.cells[at])).join(" ").toLowerCase();
  return query.toLowerCase().split(/\s+/).every((word) => row.words.includes(word));
};
const datasetPlace = board.columns.findIndex((column) => column.name === "dataset");
const dataset = () => state.get("dataset") ?? board.datasets[0];
const boardRows = () => {
  const inside = board.rows.filter((row) => dataset() === "all" || row.cells[datasetPlace] === dataset());
  const [off, from] = [list("off"), list("from")];
  const origin = (row) => row.from === "both" ? from.length < 2 : !from.includes(row.from);
  const query = state.get("q") ?? "";
  return { all: inside, rows: inside.filter((row) => !off.includes(row.family) && origin(row) && fits(board, row, query)) };
};
const shown = (column) => (column.shown ? !list("hide").includes(column.name) : list("show").includes(column.name));
const boardTable = table($("board"), board, {
  title: "Leaderboard", key: "sort", sort: `-${primary}`, rows: boardRows, shown,
  drawn: (rows, columns, { order, sort, first }) => {
    const select = $("sort");
    select.replaceChildren(...columns.map((column) => make("option", { value: column.name }, column.name)));
    select.value = order().name;
    select.onchange = () => sort(select.value, first(board.columns.find((column) => column.name === select.value)));
    plots(rows);
  },
});
const runsTable = table($("table-runs"), data.runs, {
  title: "Runs", key: "runsort", sort: "+run", shown: () => true,
  rows: () => ({ all: data.runs.rows, rows: data.runs.rows.filter((row) => fits(data.runs, row, state.get("runs") ?? "")) }),
});

// Plots.
// Ticks between two values; with `around`, the first and the last enclose them.
const ticks = (low, high, around = false) => {
  const raw = (high - low) / 6 || 1;
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = power * [1, 2, 5, 10].find((each) => each * power >= raw);
  const [down, up] = around ? [Math.floor, Math.ceil] : [Math.ceil, Math.floor];
  const sign = around ? 1 : -1;
  const [first, last] = [down(low / step + sign * 1e-9), up(high / step - sign * 1e-9)];
  return Array.from({ length: last - first + 1 }, (_, at) => (first + at) * step);
};
const short = (value) => (Math.abs(value) >= 1e6 ? value.toExponential(0).replace("e+", "e") : `${Number(value.toPrecision(3))}`);
const dots = (root, rows, measure) => {
  const known = rows.filter((row) => row.plot?.[measure]);
  const values = known.flatMap((row) => [row.plot[measure][0], row.plot[measure][1], row.plot[measure][2], ...row.plot[measure][3]]).filter((value) => value !== null);
  if (!known.length) return root.replaceChildren("No row has a value.");
  const most = Math.max(...values);
  const axis = ticks(Math.min(0, ...values), most > 0.5 ? Math.max(1, most) : most, true);
  const [low, high] = [axis[0], axis.at(-1)];
  const at = (value) => percent((value - low) / (high - low || 1));
  const ends = known.filter((row) => row.end).map((row) => [row.end, row.plot[measure][0]]);
  const lines = () => [...axis.map((value) => make("i", { class: "grid", style: `left:${at(value)}` })),
    ...ends.map(([end, value]) => make("i", { class: end, style: `left:${at(value)}` }))];
  const body = known.slice(0, MOST_DOTS).map((row) => {
    const [mean, from, to, seeds] = row.plot[measure];
    const place = board.columns.findIndex((column) => column.name === measure);
    const track = make("div", { class: "track", "data-family": row.family }, ...lines(),
      from !== null && make("i", { class: "interval", style: `left:${at(from)};width:${percent((to - from) / (high - low))}` }),
      ...seeds.map((value) => make("i", { class: "seed", style: `left:${at(value)}` })),
      make("span", { class: "mark", "data-family": row.family, style: `left:${at(mean)}` }));
    const name = row.cells[0] + (row.cells[1] ? ` (${row.cells[1]})` : "");
    return make("tr", {}, make("th", { scope: "row", title: name }, row.link ? make("a", { href: row.link }, name) : name),
      make("td", {}, track), make("td", { class: "n", title: row.cells[place]?.[2] }, row.cells[place]?.[1]));
  });
  const scale = make("div", { class: "track axis" }, ...axis.map((value) => make("span", { style: `left:${at(value)}` }, short(value))));
  root.replaceChildren(make("table", { class: "dots" }, make("caption", { class: "unseen" }, `${measure}: mean, interval and seeds`),
    make("tbody", {}, ...body), make("tfoot", { "aria-hidden": "true" }, make("tr", {}, make("td"), make("td", {}, scale), make("td")))));
};
// The points that no point of the same or a lower cost beats.
const front = (points, sign) => {
  const ordered = [...points].sort((a, b) => a.x - b.x || sign * (b.y - a.y));
  let top = -Infinity;
  return ordered.filter((point) => sign * point.y > top && ((top = sign * point.y), true));
};
const scatter = (root, rows, measure, cost) => {
  const [x, y] = [cost, measure].map((name) => board.columns.findIndex((column) => column.name === name));
  const points = rows.filter((row) => row.cells[x] && row.cells[y])
    .map((row) => ({ row, x: row.cells[x][0], y: row.cells[y][0] }));
  if (points.length < 2) return root.replaceChildren("Fewer than two rows have both.");
  const best = front(points, board.columns[y].better || 1);
  const span = (name) => {
    const values = points.map((point) => point[name]);
    const [low, high] = [Math.min(...values), Math.max(...values)];
    const margin = (high - low || 1) * 0.06;
    return name === "x" ? [Math.min(0, low), high + margin] : [low - margin, high + margin];
  };
  const [[left, right], [bottom, top]] = [span("x"), span("y")];
  const placeX = (value) => (value - left) / (right - left);
  const placeY = (value) => (top - value) / (top - bottom);
  const area = make("div", { class: "scatter", role: "group", "aria-label": `${measure} against ${cost}` });
  for (const value of ticks(left, right)) area.append(make("i", { class: "grid", style: `left:${percent(placeX(value))}` }), make("span", { class: "x", style: `left:${percent(placeX(value))}` }, short(value)));
  for (const value of ticks(bottom, top)) area.append(make("i", { class: "level", style: `top:${percent(placeY(value))}` }), make("span", { class: "y", style: `top:${percent(placeY(value))}` }, short(value)));
  const drawing = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  const steps = document.createElementNS("http://www.w3.org/2000/svg", "path");
  drawing.setAttribute("viewBox", "0 0 100 100");
  drawing.setAttribute("preserveAspectRatio", "none");
  drawing.setAttribute("aria-hidden", "true");
  steps.setAttribute("d", best.map((point, at) => {
    const [px, py] = [100 * placeX(point.x), 100 * placeY(point.y)].map((value) => value.toFixed(2));
    return at ? `H${px}V${py}` : `M${px} ${py}`;
  }).join("") + "H100");
  drawing.append(steps);
  area.append(drawing);
  for (const point of points) {
    const { row } = point;
    const said = `${row.cells[0]}${row.cells[1] ? ` (${row.cells[1]})` : ""}: ${measure} ${row.cells[y][1]}, ${cost} ${row.cells[x][1]}`;
    point.label = make("b", {}, row.cells[0]);
    point.mark = make(row.link ? "a" : "span", { class: best.includes(point) ? "point front" : "point", href: row.link, role: row.link ? "" : "img", "aria-label": said, title: said, style: `left:${percent(placeX(point.x))};top:${percent(placeY(point.y))}` }, make("span", { class: "ring" }, mark(row.family)), point.label);
    area.append(point.mark);
  }
  root.replaceChildren(area, make("div", { class: "under" }, `${cost === "time" ? "seconds" : cost} of training`));
  // A name that would cover another point or name is left to the pointer.
  const taken = points.map((point) => point.mark.firstChild.getBoundingClientRect());
  const outer = area.getBoundingClientRect();
  const free = (box) => box.left >= outer.left && box.right <= outer.right + 8 && box.top >= outer.top &&
    !taken.some((each) => box.left < each.right && each.left < box.right && box.top < each.bottom && each.top < box.bottom);
  for (const point of [...best, ...points.filter((each) => !best.includes(each))]) {
    const side = ["", "west", "north", "south"].find((name) => {
      point.label.className = name;
      return free(point.label.getBoundingClientRect());
    });
    if (side === undefined) point.label.className = "covered";
    else taken.push(point.label.getBoundingClientRect());
  }
};
const plots = (rows) => {
  const [measure, cost] = [$("measure").value, $("cost").value];
  const several = dataset() === "all" && board.datasets.length > 1;
  if (several) for (const id of ["scores", "costs"]) $(id).replaceChildren("Choose one dataset: scores of two are not on one scale.");
  const known = several ? [] : [...rows].sort((a, b) => (b.plot?.[measure]?.[0] ?? 0) - (a.plot?.[measure]?.[0] ?? 0));
  if (!several) {
    dots($("scores"), known, measure);
    scatter($("costs"), known, measure, cost);
  }
  const more = known.filter((row) => row.plot?.[measure]).length - MOST_DOTS;
  $("scores-caption").textContent = `${measure}: mean, 95 % interval, a dot for every seed.${more > 0 ? ` The table has ${more} more rows.` : ""}`;
  $("costs-caption").textContent = `${measure} against ${cost}. The line joins the rows that no cheaper row beats.`;
};

// Inputs, and what the address says of them.
const columns = () => {
  const fields = new Map();
  for (const column of board.columns.slice(1)) {
    const name = column.group || "contestant";
    if (!fields.has(name)) {
      const whole = make("input", { type: "checkbox" });
      whole.addEventListener("change", () => {
        show(board.columns.filter((each, at) => at && (each.group || "contestant") === name), whole.checked);
      });
      fields.set(name, make("fieldset", {}, make("legend", {}, make("label", {}, whole, name))));
    }
    const box = make("input", { type: "checkbox", value: column.name });
    box.addEventListener("change", () => show([column], box.checked));
    fields.get(name).append(make("label", {}, box, ...broken(column.name)));
  }
  $("columns").replaceChildren(...fields.values());
};
const ticked = () => {
  for (const field of $("columns").children) {
    const [whole, ...boxes] = all("input", field);
    for (const box of boxes) box.checked = shown(board.columns.find((column) => column.name === box.value));
    whole.checked = boxes.every((box) => box.checked);
    whole.indeterminate = !whole.checked && boxes.some((box) => box.checked);
  }
};
const show = (changed, wanted) => {
  const [more, less] = [new Set(list("show")), new Set(list("hide"))];
  for (const { name, shown: usual } of changed) {
    const set = usual ? less : more;
    if (usual !== wanted) set.add(name);
    else set.delete(name);
  }
  remember("show", [...more].join(","));
  remember("hide", [...less].join(","));
  ticked();
  boardTable.draw();
};
const choose = (id, name, usual, redraw) => {
  const field = $(id);
  if (!field) return () => {};
  field.addEventListener("input", () => { remember(name, field.value, usual); redraw(); });
  return () => { field.value = state.get(name) ?? usual; };
};
const fill = (id, names) => $(id).replaceChildren(...names.map((name) => make("option", { value: name }, name)));
fill("measure", board.measures);
fill("cost", board.columns.filter((column) => column.group === "cost" && "better" in column).map((column) => column.name));
const again = [
  choose("search", "q", "", () => boardTable.reset()),
  choose("dataset", "dataset", board.datasets[0], () => boardTable.reset()),
  choose("measure", "measure", primary, () => boardTable.draw()),
  choose("cost", "cost", "time", () => boardTable.draw()),
  choose("search-runs", "runs", "", () => runsTable.reset()),
];
for (const [query, name] of [[".family", "off"], [".from", "from"]]) {
  const boxes = all(query);
  for (const box of boxes) {
    box.addEventListener("change", () => {
      remember(name, boxes.filter((each) => !each.checked).map((each) => each.value).join(","));
      boardTable.reset();
    });
  }
  again.push(() => { for (const box of boxes) box.checked = !list(name).includes(box.value); });
}
document.addEventListener("keydown", (event) => {
  if (event.key === "/" && !event.target.closest("input, select, textarea")) {
    event.preventDefault();
    $("search").focus();
  }
});
const recall = () => {
  // Another hash is a place on the page, and changes nothing.
  if (location.hash.startsWith("#?")) state = new URLSearchParams(location.hash.slice(2));
  else if (!location.hash) state = new URLSearchParams();
  for (const each of again) each();
  ticked();
  boardTable.draw();
  runsTable.draw();
};
const openings = board.rows.filter((row) => row.best && row.plot[primary] && row.cells[datasetPlace] === board.datasets[0]);
const byScore = (a, b) => b.plot[primary][0] - a.plot[primary][0];
// Floor and ceiling stay when there are too many rows.
const others = openings.filter((row) => !row.end).sort(byScore).slice(0, 14);
dots($("primary"), [...others, ...openings.filter((row) => row.end)].sort(byScore), primary);
$("origins").hidden = new Set(board.rows.map((row) => row.from)).size < 2;
columns();
recall();
if (state.size) $("leaderboard").scrollIntoView();
addEventListener("hashchange", recall);
// The rows beyond the first ones, from rows.js.
globalThis.slotbench = (more) => {
  for (const name of ["board", "runs"]) data[name].rows.push(...more[name]);
  boardTable.draw();
  runsTable.draw();
};
