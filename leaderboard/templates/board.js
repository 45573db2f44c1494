"use strict";
// Sorting: a click on a head sorts by its column, the next click turns the order. Cells without a value stay last.
const compare = (a, b) => a.localeCompare(b, "en", { numeric: true });

function valueOf(row, column, numeric) {
  const cell = row.cells[column];
  if (!numeric) return cell.textContent.trim();
  const stored = cell.dataset.value;
  if (!stored) return null;
  return stored === "inf" ? Infinity : Number(stored);
}

function sortBy(table, column) {
  const heads = [...table.tHead.rows[0].cells];
  const head = heads[column];
  const numeric = head.classList.contains("number");
  const before = head.getAttribute("aria-sort");
  const descending = before ? before === "ascending" : numeric;
  const body = table.tBodies[0];
  const rows = [...body.rows].map((row) => ({ row, value: valueOf(row, column, numeric) }));
  rows.sort((a, b) => {
    if (a.value === null || b.value === null) return (a.value === null) - (b.value === null);
    if (a.value === b.value) return 0;
    const order = numeric ? (a.value < b.value ? -1 : 1) : compare(a.value, b.value);
    return descending ? -order : order;
  });
  body.append(...rows.map((item) => item.row));
  heads.forEach((other) => other.removeAttribute("aria-sort"));
  head.setAttribute("aria-sort", descending ? "descending" : "ascending");
}

for (const table of document.querySelectorAll("table.sortable")) {
  [...table.tHead.rows[0].cells].forEach((head, column) => {
    head.querySelector("button").addEventListener("click", () => sortBy(table, column));
  });
}
