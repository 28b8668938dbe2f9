"use strict";
(() => {
  const PAGE = 24;
  const SVG = "http://www.w3.org/2000/svg";
  const content = JSON.parse(document.getElementById("content").textContent);
  const filters = document.getElementById("filters");
  const cards = document.getElementById("cards");
  const more = document.getElementById("more");
  let chosen = [];

  function element(name, text, kind) {
    const made = document.createElement(name);
    if (text !== undefined) made.textContent = text; // never as markup: texts come from records
    if (kind) made.className = kind;
    return made;
  }

  function drawn(name, attributes) {
    const made = document.createElementNS(SVG, name);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    return made;
  }

  function picture(number, question, first) {
    const [data, width, height] = content.pictures[number];
    const svg = drawn("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": question.place });
    svg.append(drawn("image", { href: data, width, height, preserveAspectRatio: "none" }));
    if (!first) return svg;
    for (const kind of ["target", "prediction"]) {
      for (const [name, left, top, right, bottom] of question[`${kind}_boxes`]) {
        svg.append(drawn("rect", { class: kind, x: left, y: top, width: Math.max(right - left, 0), height: Math.max(bottom - top, 0) }));
        if (!name) continue;
        const label = drawn("text", { class: kind, x: left, y: kind === "target" ? top : bottom, "font-size": Math.max(width, height) / 28 });
        label.textContent = name;
        svg.append(label);
      }
    }
    return svg;
  }

  function card(question) {
    const made = element("article", undefined, `card ${question.correctness.split(" ")[0]}`);
    const pictures = element("div", undefined, "pictures");
    question.pictures.forEach((number, index) => pictures.append(picture(number, question, index === 0)));
    made.append(pictures);
    made.append(element("p", `${question.task} · ${question.modality} · ${question.place}`, "place"));
    made.append(element("p", question.question));
    const facts = {
      target: question.target,
      prediction: question.prediction === null ? "(none)" : question.prediction,
      result: `${question.correctness}, ${question.error === null ? `${question.points} points` : `error ${question.error}`}`,
      stage: question.stage,
      adapter: question.adapter,
      router: question.router,
      probability: question.probability,
    };
    const list = element("dl");
    for (const [name, value] of Object.entries(facts)) {
      if (value !== null && value !== undefined) list.append(element("dt", name), element("dd", value));
    }
    made.append(list);
    return made;
  }

  function show(count) {
    const from = cards.childElementCount;
    cards.append(...chosen.slice(from, from + count).map(card));
    more.hidden = cards.childElementCount >= chosen.length;
  }

  function choose() {
    const wanted = Object.fromEntries(new FormData(filters));
    const text = wanted.text.toLowerCase();
    chosen = content.questions.filter((question) =>
      ["task", "dataset", "correctness"].every((name) => !wanted[name] || question[name] === wanted[name]) &&
      (!text || [question.question, question.target, question.prediction, question.place].some((value) => value && value.toLowerCase().includes(text))));
    document.getElementById("count").textContent = `${chosen.length} of ${content.questions.length} questions`;
    cards.replaceChildren();
    show(PAGE);
  }

  filters.addEventListener("input", choose);
  filters.addEventListener("submit", (event) => event.preventDefault());
  more.addEventListener("click", () => show(PAGE));
  choose();
})();
