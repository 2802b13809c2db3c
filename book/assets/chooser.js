// The five questions of "Which should you use?": hides the choices that the answers rule out.
// It knows no rule. The form carries the outcome of every set of answers, made by bookext/chooser.py.

/** Every set of answers, as places, in the order of the outcomes: the last question changes fastest. */
function combinations(counts) {
  return counts.reduce(
    (sets, count) => sets.flatMap((set) => [...Array(count).keys()].map((place) => [...set, place])),
    [[]],
  );
}

/** Of each decision, the choices that are possible. `given` has a place for each question, or -1. */
function possible(decisions, counts, given) {
  const left = combinations(counts).map((set) => set.every((place, i) => given[i] < 0 || given[i] === place));
  return decisions.map(({ choices, outcomes }) => {
    const places = [...outcomes].filter((_, i) => left[i] && outcomes[i] !== "-");
    return [...new Set(places)].map((place) => choices[parseInt(place, 36)]);
  });
}

function startChooser(form) {
  const decisions = JSON.parse(form.dataset.decisions);
  const questions = [...form.querySelectorAll("fieldset")].map((one) => [...one.querySelectorAll("input")]);
  const counts = questions.map((radios) => radios.length);
  const names = questions.map((radios) => radios[0].name);
  const cards = new Map(
    decisions.flatMap(({ choices }) => choices).map((name) => [name, document.getElementById(`choice-${name}`)]),
  );
  const home = form.closest("section");
  const paths = new Set([...cards.values()].map((card) => card.closest("section")));
  const result = form.querySelector(".chooser-result");
  const link = form.querySelector(".chooser-link");
  const change = form.querySelector(".choice-change");
  const slots = document.querySelector("form.slots-form");
  const numbers = fieldsOf(slots).map((field) => [field.name, field.defaultValue]);
  const said = (name) => cards.get(name).querySelector(".choice-title").textContent;
  const answers = () => questions.map((radios) => radios.findIndex((radio) => radio.checked));

  /** The answers, and the numbers of the other form that the reader has changed. */
  function address() {
    const found = new URLSearchParams(new FormData(form));
    for (const field of fieldsOf(slots)) if (!isUntouched(field)) found.set(field.name, field.value);
    return `#${found}`;
  }

  function show() {
    const given = answers();
    const left = possible(decisions, counts, given);
    const open = new Set(left.flat());
    const example = left[0].length === 1 && cards.get(left[0][0]).querySelector("[data-load]");
    if (slots) suggest(slots, example ? JSON.parse(example.dataset.load) : Object.fromEntries(numbers));
    const asked = given.filter((place) => place < 0).length;
    const done = asked === 0;
    for (const [name, card] of cards) {
      card.hidden = !open.has(name);
    }
    change.hidden = !done;
    change.lastElementChild.replaceChildren(...(done ? flips(given, left[0][0]) : []));
    for (const path of paths) path.hidden = ![...cards.values()].some((card) => path.contains(card) && !card.hidden);
    form.classList.toggle("chooser-done", done);
    home.classList.toggle("path-chosen", done);
    home.parentElement.classList.toggle("page-chosen", done);
    link.parentElement.hidden = asked === counts.length;
    link.href = address();
    const told = new DocumentFragment();
    if (done) told.append(...left.flat().flatMap(line));
    else told.append(`${counts.length - asked} of ${counts.length} answered. Paths that are left: ${left[0].length}`);
    if (told.textContent !== result.textContent) result.replaceChildren(told); // it is read out
  }

  /** A choice, with its command and the load that this is for. */
  function line(name) {
    const row = document.createElement("p");
    const decision = decisions.find(({ choices }) => choices.includes(name));
    row.append(`${decision.short}: `, linked(name));
    const copies = [...cards.get(name).querySelectorAll("div.notranslate, .choice-load")].map((part) => part.cloneNode(true));
    for (const copy of copies) copy.querySelector("[id]")?.removeAttribute("id"); // copying takes the card's
    return [row, ...copies];
  }

  function linked(name) {
    const to = document.createElement("a");
    to.href = `#choice-${name}`;
    to.textContent = said(name);
    return to;
  }

  /** Each single other answer that leads to another path. */
  function flips(given, path) {
    return questions.flatMap((radios, question) =>
      radios.flatMap((radio, answer) => {
        const [[to]] = possible(decisions, counts, given.map((place, i) => (i === question ? answer : place)));
        if (to === path) return [];
        const item = document.createElement("li");
        Object.assign(item.dataset, { question: radio.name, answer: radio.value, to });
        const { short } = radio.closest("fieldset").dataset;
        item.append(`${short}: ${radio.labels[0].textContent.trim()} → `, linked(to));
        return [item];
      }),
    );
  }

  /** Show a part of the page and go there; the address stays, because it holds the answers. */
  function go(part) {
    if (part.closest("[hidden]")) {
      form.reset();
      keep();
    }
    part.tabIndex = -1;
    part.focus({ preventScroll: true });
    part.scrollIntoView();
  }

  function keep() {
    show();
    history.replaceState(null, "", answers().some((place) => place >= 0) ? address() : location.pathname + location.search);
  }

  /** Take what the address says; false if it is about something else. */
  function take() {
    const asked = new URLSearchParams(location.hash.slice(1));
    if (!names.some((name) => asked.has(name))) return false;
    for (const radio of questions.flat()) radio.checked = asked.get(radio.name) === radio.value;
    for (const field of fieldsOf(slots)) if (asked.has(field.name)) field.value = asked.get(field.name);
    slots?.dispatchEvent(new Event("input"));
    show();
    return true;
  }

  form.addEventListener("change", keep);
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("reset", () => setTimeout(keep));
  slots?.addEventListener("input", () => answers().some((place) => place >= 0) && keep());
  home.addEventListener("click", (event) => {
    const to = event.target.closest('a[href^="#choice-"]');
    if (!to) return;
    event.preventDefault();
    const flip = to.closest("li[data-question]");
    if (flip) {
      form.elements[flip.dataset.question].value = flip.dataset.answer;
      keep();
    }
    go(document.getElementById(to.hash.slice(1)));
  });
  addEventListener("hashchange", () => {
    const part = document.getElementById(location.hash.slice(1));
    if (!take() && part?.closest("[hidden]")) go(part);
  });
  form.hidden = false;
  if (take()) form.scrollIntoView();
  else show();
}

if (typeof document !== "undefined") {
  document.addEventListener("DOMContentLoaded", () => {
    for (const form of document.querySelectorAll("form.chooser-form")) startChooser(form);
  });
}
if (typeof module !== "undefined") module.exports = { combinations, possible };
