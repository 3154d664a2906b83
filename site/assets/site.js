import { search } from "./search.js";

search(document.querySelector(".search"));

// The theme: the system's until the reader chooses.
document.querySelector(".theme").addEventListener("click", () => {
  const root = document.documentElement;
  const dark = root.dataset.theme
    ? root.dataset.theme === "dark"
    : matchMedia("(prefers-color-scheme: dark)").matches;
  root.dataset.theme = dark ? "light" : "dark";
  localStorage.setItem("theme", root.dataset.theme);
});

// The menu on narrow screens.
const menu = document.querySelector(".menu");
const nav = document.querySelector("#site-nav");
function open(yes) {
  nav.classList.toggle("open", yes);
  menu.setAttribute("aria-expanded", yes);
}
menu.addEventListener("click", () => open(!nav.classList.contains("open")));
document.addEventListener("keydown", (e) => {
  if (e.key === "Escape" && nav.classList.contains("open")) {
    open(false);
    menu.focus();
  }
});
const here = nav.querySelector("[aria-current]");
if (here) nav.scrollTop = here.getBoundingClientRect().top - nav.getBoundingClientRect().top - nav.clientHeight / 2;

// Buttons that copy code.
for (const code of document.querySelectorAll(".code")) {
  const button = document.createElement("button");
  button.className = "copy";
  button.textContent = "Copy";
  button.addEventListener("click", async () => {
    await navigator.clipboard.writeText(code.querySelector("code").textContent.trimEnd());
    button.textContent = "Copied";
    setTimeout(() => (button.textContent = "Copy"), 1500);
  });
  code.append(button);
}

// The table of contents marks the heading that is read.
const links = new Map();
for (const a of document.querySelectorAll(".toc a")) links.set(decodeURIComponent(a.hash.slice(1)), a);
if (links.size) {
  const headings = [...document.querySelectorAll("main :is(h2, h3)[id]")].filter((h) => links.has(h.id));
  const mark = () => {
    const passed = headings.filter((h) => h.getBoundingClientRect().top < 140);
    const current = passed.at(-1) ?? headings[0];
    for (const [id, a] of links) a.classList.toggle("read", id === current?.id);
  };
  addEventListener("scroll", mark, { passive: true });
  mark();
}

// Short code, such as the name of a flag, stays on one line.
for (const code of document.querySelectorAll("article :not(pre) > code")) {
  code.classList.toggle("whole", code.textContent.length <= 30);
}
