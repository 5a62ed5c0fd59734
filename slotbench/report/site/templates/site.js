"use strict";
(() => {
  const all = (query, root = document) => [...root.querySelectorAll(query)];
  const tables = all("table.sortable");
  // What a cell is sorted and searched by is what it says, where it does not say otherwise.
  const valueOf = (cell) => cell.dataset.v ?? cell.textContent;
  const columnOf = (th) => [...th.parentNode.children].indexOf(th);

  const letters = new Intl.Collator();
  // What has no value stands last, whichever way the column is sorted.
  const compare = (numeric, sign) => (a, b) => {
    if (a.value === "" || b.value === "") return (a.value === "") - (b.value === "");
    return sign * (numeric ? a.number - b.number : letters.compare(a.value, b.value));
  };

  const sort = (table, th) => {
    const numeric = th.classList.contains("n");
    // Numbers are first shown from the highest, words from A.
    const first = numeric ? "descending" : "ascending";
    const other = numeric ? "ascending" : "descending";
    const order = th.getAttribute("aria-sort") === first ? other : first;
    all("th", table.tHead).forEach((each) => each.removeAttribute("aria-sort"));
    th.setAttribute("aria-sort", order);
    const index = columnOf(th);
    const body = table.tBodies[0];
    const rows = [...body.rows].map((row) => {
      const value = valueOf(row.cells[index]);
      return { row, value, number: Number(value) };
    });
    rows.sort(compare(numeric, order === "ascending" ? 1 : -1));
    body.append(...rows.map((each) => each.row));
  };

  const words = new WeakMap();
  const wordsOf = (table, row) => {
    if (!words.has(row)) {
      const texts = [...row.cells].filter((cell) => !cell.classList.contains("n"))
        .map((cell) => `${valueOf(cell)} ${cell.textContent}`);
      words.set(row, [table.caption.firstChild.textContent,
        table.caption.querySelector("small")?.textContent ?? "", ...texts].join(" ").toLowerCase());
    }
    return words.get(row);
  };

  const filter = () => {
    const families = new Set(all(".family:checked").map((box) => box.value));
    const chosen = document.getElementById("dataset");
    for (const table of tables) {
      const ofRuns = table.id === "table-runs";
      const box = document.getElementById(ofRuns ? "search-runs" : "search");
      const wanted = box.value.toLowerCase().split(/\s+/).filter(Boolean);
      let shown = 0;
      for (const row of table.tBodies[0].rows) {
        const fits = wanted.every((word) => wordsOf(table, row).includes(word)) &&
          (ofRuns || families.has(row.dataset.family));
        row.hidden = !fits;
        shown += fits;
      }
      const total = table.tBodies[0].rows.length;
      table.caption.querySelector(".count").textContent =
        shown === total ? `(${total})` : `(${shown} of ${total})`;
      const board = table.closest(".board");
      if (board && chosen) board.hidden = chosen.value !== "" && chosen.value !== board.id;
    }
  };

  // What is searched and sorted stands in the address, so that it can be shared.
  const boxes = ["search", "search-runs", "dataset"];
  const remember = () => {
    const state = new URLSearchParams();
    for (const id of boxes) {
      const value = document.getElementById(id)?.value;
      if (value) state.set(id, value);
    }
    for (const th of all("th[aria-sort]")) {
      state.set(th.closest("table").id, `${th.getAttribute("aria-sort")} ${th.dataset.column}`);
    }
    history.replaceState(null, "", `#${state.size ? "?" : ""}${state}`);
  };
  const recall = () => {
    if (!location.hash.startsWith("#?")) return;
    for (const [id, value] of new URLSearchParams(location.hash.slice(2))) {
      const [order, name] = [value.split(" ", 1)[0], value.slice(value.indexOf(" ") + 1)];
      const found = document.getElementById(id);
      if (boxes.includes(id) && found) found.value = value;
      const th = all("th", found?.tHead ?? undefined).find((each) =>
        each.closest("table") === found && each.dataset.column === name);
      if (th) {
        sort(found, th);
        if (th.getAttribute("aria-sort") !== order) sort(found, th);
      }
    }
  };

  const showColumn = (name, shown) => {
    for (const table of tables.filter((each) => each.closest(".board"))) {
      for (const th of all("th", table.tHead).filter((each) => each.dataset.column === name)) {
        const index = columnOf(th);
        th.hidden = !shown;
        for (const row of table.tBodies[0].rows) row.cells[index].classList.toggle("h", !shown);
      }
    }
  };

  const columns = () => {
    const heads = all(".board thead th");
    const names = [...new Set(heads.map((th) => th.dataset.column))];
    for (const name of names) {
      const label = document.createElement("label");
      const box = document.createElement("input");
      box.type = "checkbox";
      box.checked = heads.some((th) => th.dataset.column === name && !th.hidden);
      box.addEventListener("change", () => showColumn(name, box.checked));
      label.append(box, ` ${name}`);
      document.getElementById("columns").append(label);
    }
  };

  for (const table of tables) {
    all("th button", table.tHead).forEach((button) =>
      button.addEventListener("click", () => {
        sort(table, button.parentNode);
        remember();
      }));
  }
  all("#search, #search-runs, #dataset, .family").forEach((box) =>
    box.addEventListener("input", () => {
      filter();
      remember();
    }));
  // On a phone, numbers come first: what is left out is a tap away under Columns.
  if (matchMedia("(max-width: 40rem)").matches) {
    for (const name of ["core", "family", "steps"]) showColumn(name, false);
  }
  columns();
  recall();
  filter();
})();
