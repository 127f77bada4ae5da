// Hears what moves at the gate. Changes words in place and closes buttons; moves nothing under a thumb.

const SAID = {
  granted: "Approved",
  claimed: "Running",
  executed: "Ran, not settled yet",
  committed: "Approved and done",
};
const said = (state) => SAID[state] ?? state.charAt(0).toUpperCase() + state.slice(1);

function onCard(request, news) {
  if (news.id !== request || news.state === document.body.dataset.state) return;
  document.body.dataset.state = news.state;
  document.dispatchEvent(new CustomEvent("moved", { detail: { ...news, text: said(news.state) } }));
}

const fresh = new Set();

function onInbox(news) {
  const row = [...document.querySelectorAll(".row")].find((r) => r.dataset.request === news.id);
  if (row) {
    const stand = row.querySelector("[data-stand]");
    if (news.state !== "held" && stand) {
      stand.textContent = said(news.state);
      row.classList.add("over");
      row.querySelector(".dot")?.classList.remove("full");
    }
    return;
  }
  if (news.state !== "held") return;
  fresh.add(news.id);
  const link = document.getElementById("fresh-link");
  if (!link) return;
  link.textContent = fresh.size === 1 ? "1 new request: show it" : `${fresh.size} new requests: show them`;
  link.href = location.pathname + location.search;
  document.getElementById("fresh").classList.add("on");
}

export function startNews(page, request) {
  if (page !== "inbox" && page !== "card") return;
  let source = null;
  const open = () => {
    source = new EventSource("/events");
    source.onmessage = (event) => {
      const news = JSON.parse(event.data);
      if (page === "card") onCard(request, news);
      else onInbox(news);
    };
    // What moved while nobody listened is asked for once the line stands.
    source.onopen = () => {
      if (page === "card") askAgain(request);
    };
  };
  const close = () => {
    source?.close();
    source = null;
  };
  // A browser keeps few connections to one origin: a page that nobody sees gives its own back.
  document.addEventListener("visibilitychange", () => (document.hidden ? close() : source ?? open()));
  if (!document.hidden) open();
}

async function askAgain(request) {
  const answer = await fetch(`/requests/${request}/state`, { headers: { accept: "application/json" } });
  if (answer.ok) onCard(request, await answer.json());
}
