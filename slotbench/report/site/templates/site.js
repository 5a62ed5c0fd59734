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
      words.set(row, [table.caption.firstChild.textContent, ...texts].join(" ").toLowerCase());
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
      button.addEventListener("click", () => sort(table, button.parentNode)));
  }
  all("#search, #search-runs, #dataset, .family").forEach((box) =>
    box.addEventListener("input", filter));
  // On a phone, numbers come first: what is left out is a tap away under Columns.
  if (matchMedia("(max-width: 40rem)").matches) {
    for (const name of ["core", "family", "steps"]) showColumn(name, false);
  }
  columns();
  filter();
})();
