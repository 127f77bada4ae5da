// The decision on a card: prepare, compare with what the page shows, sign, send.
import { explain, post, say, sign } from "./passkey.js";

const form = document.getElementById("decide");
const said = document.getElementById("said");
const card = document.querySelector(".card");
const request = document.body.dataset.request;
const buttons = form ? [...form.querySelectorAll("button[data-choice]")] : [];

let closed = document.body.dataset.state !== "held";
let busy = false;

const open = (on) => buttons.forEach((button) => (button.disabled = !on));

function close(text) {
  closed = true;
  open(false);
  if (said && !busy) say(said, text);
}

/** The statement must be about exactly what this page shows. */
function agree(choice) {
  return (statement) => {
    const said = statement.predicate;
    const fits =
      statement.subject?.[0]?.digest?.sha256 === card.dataset.digest &&
      said.view === card.dataset.view &&
      said.requestId === request &&
      said.decision === choice;
    if (!fits) throw new Error("The gate prepared something other than this page shows. Nothing was signed.");
  };
}

async function decide(choice) {
  busy = true;
  open(false);
  say(said, "Preparing what you sign…");
  try {
    const prepared = await post(`/requests/${request}/prepare`, { choice, justification: form.elements.why.value });
    say(said, choice === "approved" ? "Sign the approval with your passkey…" : "Sign the denial with your passkey…");
    const signed = await sign(prepared, agree(choice));
    say(said, "Recording it…");
    await post(`/requests/${request}/review`, signed);
    say(said, choice === "approved" ? "Approved. On the record." : "Denied. On the record.");
    location.reload();
  } catch (error) {
    busy = false;
    say(said, explain(error), true);
    open(!closed);
  }
}

// Not on submit: Enter in the reason must not decide anything.
form?.addEventListener("submit", (event) => event.preventDefault());
buttons.forEach((button) => {
  button.type = "button";
  button.addEventListener("click", () => decide(button.dataset.choice));
});
open(!closed);

// A card without buttons has nothing under anybody's thumb: it is shown again as it stands.
const isRecord = closed || !form;
const SETTLE_MS = 300;
let settling;

document.addEventListener("moved", ({ detail }) => {
  if (detail.state === "held") return;
  if (isRecord) {
    clearTimeout(settling);
    settling = setTimeout(() => location.reload(), SETTLE_MS);
    return;
  }
  close(`${detail.text}, just now. Reload to see the record.`);
});
document.addEventListener("timeup", () => close("Time is up: nobody can decide this any more."), { once: true });
