"use strict";
(() => {
  const controls = document.getElementById("controls");
  const boards = [...document.querySelectorAll("table.board")];

  function compare(first, second) {
    const [one, other] = [Number(first), Number(second)];
    return Number.isNaN(one) || Number.isNaN(other) ? first.localeCompare(second) : one === other ? 0 : one - other;
  }

  // The best first, then the worst first; rows without a value stay last.
  function sort(table, head) {
    const place = head.cellIndex;
    const best = head.dataset.better === "higher" ? "descending" : "ascending";
    const worst = best === "ascending" ? "descending" : "ascending";
    const order = head.getAttribute("aria-sort") === best ? worst : best;
    for (const other of head.parentElement.cells) other.setAttribute("aria-sort", other === head ? order : "none");
    const sign = order === "ascending" ? 1 : -1;
    const rows = [...table.tBodies[0].rows].map((row) => [row.cells[place].dataset.value, row]);
    rows.sort(([one], [other]) => (one === "") - (other === "") || sign * compare(one, other));
    table.tBodies[0].append(...rows.map(([, row]) => row));
  }

  function choose() {
    const wanted = new FormData(controls);
    const [protocol, every, text] = [wanted.get("protocol"), wanted.has("measures"), wanted.get("text").toLowerCase()];
    let shown = 0;
    let all = 0;
    for (const table of boards) {
      const hidden = [...table.tHead.rows[0].cells].map((head) =>
        head.dataset.protocol !== undefined && ((protocol !== "" && head.dataset.protocol !== protocol) || (!every && head.dataset.main === undefined)));
      for (const row of table.rows) [...row.cells].forEach((cell, place) => { cell.hidden = hidden[place]; });
      for (const row of table.tBodies[0].rows) {
        row.hidden = !row.cells[0].textContent.toLowerCase().includes(text);
        all += 1;
        shown += !row.hidden;
      }
    }
    document.getElementById("count").textContent = `${shown} of ${all} runs`;
  }

  for (const table of boards) {
    table.tHead.addEventListener("click", (event) => {
      const head = event.target.closest("button")?.closest("th");
      if (head) sort(table, head);
    });
  }
  controls.addEventListener("input", choose);
  controls.addEventListener("submit", (event) => event.preventDefault());
  choose();
})();
