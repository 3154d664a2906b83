import MiniSearch from "./minisearch/index.js";

const root = new URL(".", import.meta.url);
const shown = 12;
// What a reader most likely wants is first.
const weight = { help: 2, tutorial: 2, "how-to": 2, explanation: 1.2, decisions: 0.3, changelog: 0.2, contributing: 0.5 };

// load fetches the pieces of all pages and indexes them, once.
let loaded;
function load() {
  loaded ??= fetch(new URL("search.json", root))
    .then((r) => r.json())
    .then(async (pieces) => {
      const index = new MiniSearch({
        fields: ["title", "heading", "text"],
        storeFields: ["url", "title", "heading", "part", "text"],
        // Names such as train.batch_size and --learning-rate are found whole and by their words.
        tokenize: (text) => text.split(/[^\p{L}\p{N}_.-]+/u).flatMap((word) => {
          const whole = word.replace(/^[-.]+|[-.]+$/g, "");
          const parts = whole.split(/[-._]/);
          return parts.length > 1 ? [whole, ...parts] : [whole];
        }).filter(Boolean),
        searchOptions: {
          boost: { title: 4, heading: 4 },
          boostDocument: (id, term, piece) => weight[piece.part] ?? 1,
          prefix: true,
          fuzzy: (term) => (term.length > 4 ? 0.2 : 0),
          combineWith: "AND",
        },
      });
      await index.addAllAsync(pieces.map((piece, id) => ({ id, ...piece })), { chunkSize: 50 });
      return index;
    });
  return loaded;
}

// excerpt cuts the text around the first of the terms.
function excerpt(text, terms) {
  const at = Math.max(0, Math.min(...terms.map((t) => text.toLowerCase().indexOf(t)).filter((i) => i >= 0), text.length));
  const start = at === text.length ? 0 : Math.max(0, text.lastIndexOf(" ", Math.max(0, at - 40)) + 1);
  return (start ? "… " : "") + text.slice(start, start + 150);
}

// marked is a line of text with the terms marked.
function marked(tag, text, terms) {
  const line = document.createElement(tag);
  const any = terms.map((t) => t.replace(/[.*+?^${}()|[\]\\]/g, "\\$&")).join("|");
  for (const [i, piece] of (any ? text.split(new RegExp(`(?<![\\p{L}\\p{N}])(${any})`, "iu")) : [text]).entries()) {
    if (i % 2) {
      const mark = document.createElement("mark");
      mark.textContent = piece;
      line.append(mark);
    } else line.append(piece);
  }
  return line;
}

// search makes a form the search of the site: "/" goes there, arrows choose a result, Enter opens it.
export function search(form) {
  const input = form.querySelector("input");
  const list = form.querySelector("[role=listbox]");
  let chosen = -1;

  const close = () => {
    list.hidden = true;
    input.setAttribute("aria-expanded", "false");
    input.removeAttribute("aria-activedescendant");
  };
  const choose = (i) => {
    const options = [...list.querySelectorAll("a")];
    if (!options.length) return;
    chosen = (i + options.length) % options.length;
    for (const [n, option] of options.entries()) option.setAttribute("aria-selected", n === chosen);
    options[chosen].scrollIntoView({ block: "nearest" });
    input.setAttribute("aria-activedescendant", options[chosen].id);
  };
  const show = async () => {
    const query = input.value.trim();
    if (query.length < 2) return close();
    const index = await load();
    if (query !== input.value.trim()) return;
    let found = index.search(query);
    if (!found.length) found = index.search(query, { combineWith: "OR" });
    list.replaceChildren(...found.slice(0, shown).map((result, i) => {
      const a = document.createElement("a");
      a.id = `result-${i}`;
      a.href = new URL(result.url, root);
      a.setAttribute("role", "option");
      a.tabIndex = -1;
      a.append(
        marked("strong", result.heading ? `${result.title} › ${result.heading}` : result.title, result.terms),
        marked("span", excerpt(result.text, result.terms), result.terms),
      );
      return a;
    }));
    if (!found.length) list.append(Object.assign(document.createElement("p"), { textContent: "Nothing found" }));
    list.hidden = false;
    input.setAttribute("aria-expanded", "true");
    choose(0);
  };

  input.addEventListener("focus", load, { once: true });
  input.addEventListener("input", show);
  input.addEventListener("focus", show);
  input.addEventListener("keydown", (e) => {
    if (e.key === "ArrowDown" || e.key === "ArrowUp") {
      e.preventDefault();
      choose(chosen + (e.key === "ArrowDown" ? 1 : -1));
    } else if (e.key === "Escape") {
      close();
      input.blur();
    }
  });
  form.addEventListener("submit", (e) => {
    e.preventDefault();
    list.querySelector("[aria-selected=true]")?.click();
  });
  form.addEventListener("focusout", (e) => {
    if (!form.contains(e.relatedTarget)) setTimeout(close, 150);
  });
  document.addEventListener("keydown", (e) => {
    if (e.key === "/" && !e.ctrlKey && !e.metaKey && !["INPUT", "TEXTAREA"].includes(document.activeElement?.tagName)) {
      e.preventDefault();
      input.focus();
    }
  });
}
