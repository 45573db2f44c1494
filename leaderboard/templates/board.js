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
  const descending = before ? before === "ascending" : numeric && head.dataset.first !== "ascending";
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

document.addEventListener("click", (event) => {
  const head = event.target.closest("table.sortable thead th");
  if (head) sortBy(head.closest("table"), head.cellIndex);
});

// Filtering. What belongs to a task, dpc, student or method names its marks in data-at; a mark begins with the letter of
// its facet. Within a facet any chosen mark will do; a facet without a choice, or without a mark here, hides nothing.
const boxes = [...document.querySelectorAll("#filters [type=checkbox]")];
const chosen = new Map();

function fits(at) {
  const mine = at.split(" ");
  for (const [letter, marks] of chosen) {
    const ours = mine.filter((mark) => mark[0] === letter);
    if (ours.length && !ours.some((mark) => marks.has(mark))) return false;
  }
  return true;
}

function filterTable(table) {
  const heads = [...table.tHead.rows[0].cells];
  const columns = heads.map((head) => "at" in head.dataset);
  if (!columns.includes(true)) return;
  const hidden = heads.map((head) => !fits(head.dataset.at || ""));
  for (const row of table.rows) {
    columns.forEach((marked, column) => {
      if (marked) row.cells[column].hidden = hidden[column];
    });
  }
  table.hidden ||= !hidden.some((hide, column) => columns[column] && !hide);
}

const isEmpty = (table) => table.hidden || [...table.tBodies[0].rows].every((row) => row.hidden);

function filterWithin(root) {
  for (const part of root.querySelectorAll("[data-at]:not(th)")) part.toggleAttribute("hidden", !fits(part.dataset.at));
  for (const table of root.querySelectorAll("table.sortable")) filterTable(table);
}

function filterAll() {
  chosen.clear();
  for (const box of boxes) {
    if (!box.checked) continue;
    const letter = box.dataset.mark[0];
    chosen.set(letter, (chosen.get(letter) || new Set()).add(box.dataset.mark));
  }
  filterWithin(document.querySelector("main"));
  let all = 0, shown = 0;
  for (const section of document.querySelectorAll("section[data-rows]")) {
    const rows = section.dataset.rows.split(",");
    const mine = fits(section.dataset.at || "") ? rows.filter(fits).length : 0;
    section.hidden = !mine;
    const count = section.querySelector(".later > summary");
    if (count) count.textContent = mine === rows.length ? `${mine} rows` : `${mine} of ${rows.length} rows`;
    all += rows.length;
    shown += mine;
  }
  for (const part of document.querySelectorAll("main > section:not([data-rows]), main div[data-at]")) {
    const tables = [...part.querySelectorAll("table.sortable")];
    if (tables.length) part.hidden ||= tables.every((table) => isEmpty(table) || table.closest("[hidden]"));
  }
  for (const facet of document.querySelectorAll(".facet")) {
    const options = [...facet.querySelectorAll("[type=checkbox]")];
    const names = options.filter((box) => box.checked).map((box) => box.value);
    const many = names.length > 3 ? `${names.length} of ${options.length}` : names.join(", ");
    facet.querySelector(".chosen").textContent = names.length ? many : `all ${options.length}`;
  }
  const hidden = all - shown;
  document.getElementById("shown").textContent = hidden ? `${shown} of ${all} rows shown, ${hidden} hidden` : `all ${all} rows shown`;
}

// The choice lives in the address: only values that the board has are taken from it.
function readAddress() {
  const asked = new URLSearchParams(location.hash.slice(1));
  const values = new Map();
  for (const [name, value] of asked) values.set(name, (values.get(name) || new Set()).add(value));
  for (const box of boxes) box.checked = Boolean(values.get(box.name)?.has(box.value));
  filterAll();
}

function choose() {
  const asked = new URLSearchParams(boxes.filter((box) => box.checked).map((box) => [box.name, box.value]));
  history.replaceState(null, "", `#${asked}`);
  filterAll();
}

if (boxes.length) {
  const bar = document.getElementById("filters");
  bar.addEventListener("change", (event) => {
    if (event.target.type === "checkbox") choose();
  });
  bar.addEventListener("input", (event) => {
    if (event.target.type !== "search") return;
    const wanted = event.target.value.toLowerCase();
    for (const label of event.target.parentElement.querySelectorAll("label")) {
      label.hidden = !label.textContent.toLowerCase().includes(wanted);
    }
  });
  document.getElementById("reset").addEventListener("click", () => {
    for (const box of boxes) box.checked = false;
    choose();
  });
  window.addEventListener("hashchange", readAddress);
  bar.hidden = false;
  readAddress();
}

// A large board keeps its sections packed (base64 of zlib) until they are opened.
async function unpack(kept) {
  const bytes = Uint8Array.from(atob(kept.content.textContent), (letter) => letter.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
  const text = await new Response(stream).text();
  if (!kept.isConnected) return;
  const fold = kept.parentElement;
  kept.insertAdjacentHTML("beforebegin", text);
  kept.remove();
  filterWithin(fold);
}

document.addEventListener("toggle", (event) => {
  const kept = event.target.open && event.target.querySelector(":scope > template");
  if (kept) unpack(kept);
}, true);
