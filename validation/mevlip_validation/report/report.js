"use strict";
(() => {
  const PAGE = 24;
  const SVG = "http://www.w3.org/2000/svg";
  const content = JSON.parse(document.getElementById("content").textContent);
  const filters = document.getElementById("filters");
  const cards = document.getElementById("cards");
  const more = document.getElementById("more");
  const SIGNS = { right: "\u2713", partly: "\u25d0", wrong: "\u2717", missing: "\u2205" };
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

  function boxes(svg, found, kind, size) {
    for (const [name, left, top, right, bottom] of found) {
      svg.append(drawn("rect", { class: kind, x: left, y: top, width: Math.max(right - left, 0), height: Math.max(bottom - top, 0) }));
      if (!name) continue;
      const label = drawn("text", { class: kind, x: kind === "other" ? (left + right) / 2 : left, y: kind === "target" ? top : bottom, "font-size": size });
      label.textContent = name;
      svg.append(label);
    }
  }

  function picture(number, question, first, other) {
    const [data, width, height] = content.pictures[number];
    const found = first ? { target: question.target_boxes, prediction: question.prediction_boxes, other: other ? other.boxes : [] } : {};
    const counts = Object.entries(found).filter(([, some]) => some.length).map(([kind, some]) => `, ${some.length} ${kind} ${some.length === 1 ? "box" : "boxes"}`);
    const svg = drawn("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": `Image of ${question.place}${counts.join("")}` });
    svg.append(drawn("image", { href: data, width, height, preserveAspectRatio: "none" }));
    for (const [kind, some] of Object.entries(found)) boxes(svg, some, kind, Math.max(width, height) / 28);
    return svg;
  }

  const kindOf = (answer) => answer.correctness.split(" ")[0];
  const textOf = (answer) => (answer.prediction === null ? "(none)" : answer.prediction);
  const resultOf = (answer) => `${answer.correctness}, ${answer.error === null ? `${answer.points} ${answer.points === 1 ? "point" : "points"}` : `error ${answer.error}`}`;

  function badge(answer, name) {
    return element("span", `${SIGNS[kindOf(answer)]} ${name ? `${name}: ` : ""}${answer.correctness}`, `badge ${kindOf(answer)}`);
  }

  function card(question) {
    const other = against(question);
    const name = other ? content.others[chosenOther()] : "";
    const made = element("article", undefined, `card ${kindOf(question)}`);
    const pictures = element("div", undefined, "pictures");
    question.pictures.forEach((number, index) => pictures.append(picture(number, question, index === 0, other)));
    made.append(pictures);
    const badges = element("div");
    badges.append(badge(question, other ? "here" : ""));
    if (other) badges.append(badge(other, "there"));
    made.append(badges);
    made.append(element("p", `${question.task} · ${question.modality} · ${question.place}`, "place"));
    made.append(element("p", question.question));
    const facts = {
      target: question.target,
      prediction: textOf(question),
      result: resultOf(question),
      stage: question.stage,
      adapter: question.adapter,
      router: question.router,
      probability: question.probability,
    };
    if (other) Object.assign(facts, { [name]: textOf(other), [`result of ${name}`]: resultOf(other) });
    const list = element("dl");
    for (const [title, value] of Object.entries(facts)) {
      if (value !== null && value !== undefined) list.append(element("dt", title), element("dd", value));
    }
    made.append(list);
    if (question.why !== null) made.append(element("p", content.causes[question.why], "why"));
    return made;
  }

  // Which other system is shown beside; null where there is none.
  const chosenOther = () => (filters.elements.against ? Number(filters.elements.against.value) : null);
  const against = (question) => (chosenOther() === null ? null : question.others[chosenOther()]);
  const isWrong = (answer) => answer.correctness === "wrong" || answer.correctness === "missing";

  const FLIPS = {
    here: (one, other) => one.correctness === "right" && isWrong(other),
    there: (one, other) => isWrong(one) && other.correctness === "right",
    more: (one, other) => one.points > other.points,
    fewer: (one, other) => one.points < other.points,
  };

  const least = (value) => (value === null ? Infinity : value);
  const ORDERS = {
    worst: (one, other) => one.points - other.points || (other.error || 0) - (one.error || 0),
    best: (one, other) => other.points - one.points || (one.error || 0) - (other.error || 0),
    error: (one, other) => (other.error === null ? -1 : other.error) - (one.error === null ? -1 : one.error),
    unsure: (one, other) => (one.probability === other.probability ? 0 : least(one.probability) - least(other.probability)),
    file: () => 0,
  };

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
      (!wanted.why || (wanted.why === "any" ? question.why !== null : question.why === Number(wanted.why))) &&
      (!wanted.flip || FLIPS[wanted.flip](question, against(question))) &&
      (!text || [question.question, question.target, question.prediction, question.place].some((value) => value && value.toLowerCase().includes(text))));
    chosen.sort(ORDERS[wanted.order]); // stable: equal ones stay as in the files
    document.getElementById("count").textContent = `${chosen.length} of ${content.questions.length} questions`;
    cards.replaceChildren();
    show(PAGE);
  }

  filters.addEventListener("input", choose);
  filters.addEventListener("submit", (event) => event.preventDefault());
  more.addEventListener("click", () => show(PAGE));
  choose();
})();
