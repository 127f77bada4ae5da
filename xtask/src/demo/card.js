// The lines of a card as a person reads them from top to bottom.
const words = (node) => node.innerText.replace(/\s+/g, " ").trim();
const parts = (node) => {
  const rules = [...node.querySelectorAll(":scope > .rule")];
  if (rules.length) return rules.map((rule) => rule.innerText.trim().split(/\n+/).join(": ")).join("; ");
  const list = node.matches(".sep") ? node : node.querySelector(":scope > .sep");
  return list ? [...list.children].map(words).join(" · ") : words(node);
};
const pairs = (list) => list.map((dt) => `${words(dt).toLowerCase()}: ${parts(dt.nextElementSibling)}`).join("; ");
const card = document.querySelector(".card");
const lines = [...card.querySelectorAll("h1, .left, .facts, .warn")].map(parts);
for (const node of card.querySelectorAll("pre.sql, dl.pairs > dt")) {
  if (node.matches("pre")) {
    lines.push(...node.innerText.split("\n").map((line) => `    ${line}`));
    continue;
  }
  const value = node.nextElementSibling;
  const seen = [...value.querySelectorAll("dl.seen > dt")];
  const said = seen.length ? pairs(seen) : parts(value).replace(/ See them$/, "");
  lines.push(`${words(node).padEnd(17)} ${said}`);
}
return lines;
