"use strict";
// tables: sort, filter, all columns on a narrow screen
const key = cell => { const s = cell.dataset.sort, n = Number(s); return s === "" ? null : Number.isNaN(n) ? s : n; };
for (const table of document.querySelectorAll("main table")) {
  const body = table.tBodies[0], heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, i) => head.querySelector("button")?.addEventListener("click", () => {
    const down = head.getAttribute("aria-sort") === "ascending";
    heads.forEach(h => h.removeAttribute("aria-sort"));
    head.setAttribute("aria-sort", down ? "descending" : "ascending");
    const rows = [...body.rows].map(row => [row.classList.contains("baseline"), key(row.cells[i]), row]);
    rows.sort(([p, a], [q, b]) => {
      if (p !== q) return p ? 1 : -1;
      if (a === null || b === null) return (a === null) - (b === null);
      const order = typeof a === "number" && typeof b === "number" ? a - b : String(a).localeCompare(String(b));
      return down ? -order : order;
    });
    body.append(...rows.map(r => r[2]));
  }));
}
for (const input of document.querySelectorAll("[data-filter]")) {
  const rows = [...document.getElementById(input.dataset.filter).tBodies[0].rows];
  const count = document.querySelector(`[data-count="${input.dataset.filter}"]`);
  input.addEventListener("input", () => {
    const words = input.value.toLowerCase().split(/\s+/).filter(Boolean);
    let shown = 0;
    for (const row of rows) {
      const text = row.textContent.toLowerCase();
      row.hidden = !words.every(word => text.includes(word));
      shown += !row.hidden;
    }
    count.textContent = words.length ? `${shown} of ${rows.length} rows` : "";
  });
}
for (const button of document.querySelectorAll("[data-widen]")) {
  // the columns that fit: of those that nobody must see, the last are hidden first
  const table = document.getElementById(button.dataset.widen), box = table.parentElement;
  const rows = [...table.rows], heads = [...table.tHead.rows[0].cells];
  const extra = heads.flatMap((head, i) => head.classList.contains("extra") ? [i] : []).reverse();
  const show = (i, there) => { for (const row of rows) row.cells[i].hidden = !there; };
  const narrow = matchMedia("(max-width:640px)");
  let width = 0;
  const fit = () => {
    const all = table.classList.contains("all");
    width = box.clientWidth;
    for (const i of extra) show(i, true);
    let left = 0;
    if (!all && !narrow.matches) for (const i of extra) { if (table.offsetWidth <= box.clientWidth) break; show(i, false); left++; }
    button.hidden = !(all || left || narrow.matches);
    button.setAttribute("aria-pressed", all);
  };
  button.addEventListener("click", () => { table.classList.toggle("all"); fit(); });
  new ResizeObserver(() => { if (box.clientWidth && box.clientWidth !== width) fit(); }).observe(box);
  addEventListener("beforeprint", () => { for (const i of extra) show(i, true); });
  addEventListener("afterprint", fit);
}
