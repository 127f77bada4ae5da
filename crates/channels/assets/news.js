// Hears what moves at the gate. New rows come at the end, words change in place, buttons close; nothing moves under a
// thumb. What was missed while the line was down is asked for once it stands.

const SAID = {
  granted: "Approved",
  claimed: "Running",
  executed: "Ran, not settled yet",
  committed: "Approved and done",
  held: "Not for you to decide any more",
};
const said = (state) => SAID[state] ?? state.charAt(0).toUpperCase() + state.slice(1);
const AWAY = "This page does not hear from the gate. Reload it to see how things stand.";
const RETRY_MS = 5000;
const GATHER_MS = 150;

const put = (element, text) => {
  if (element && element.textContent !== text) element.textContent = text;
};
const pause = (ms) => new Promise((done) => setTimeout(done, ms));

/** Where a request stands; nothing where the gate cannot be asked, or nobody is logged in any more. */
async function stateOf(request) {
  const path = `/requests/${request}/state`;
  const answer = await fetch(path, { headers: { accept: "application/json" } }).catch(() => null);
  return answer?.ok && !answer.redirected ? answer.json() : null;
}

// === The card ===

function onCard(request, news) {
  if (news.id !== request || news.state === document.body.dataset.state) return;
  document.body.dataset.state = news.state;
  document.dispatchEvent(new CustomEvent("moved", { detail: { ...news, text: said(news.state) } }));
}

// === The queue ===

const rows = (page) => [...page.querySelectorAll(".row")];
const rowOf = (page, id) => rows(page).find((row) => row.dataset.request === id);
const standOf = (row) => row.querySelector("[data-stand]");

function over(row, text) {
  put(standOf(row), text);
  row.classList.add("over");
  row.querySelector(".dot")?.classList.remove("full");
}

/** The page as the gate prints it now, read as a document in which nothing runs; nothing where it cannot be had. */
function printed() {
  return new Promise((done) => {
    const ask = new XMLHttpRequest();
    ask.open("GET", location.pathname + location.search);
    ask.responseType = "document";
    ask.onload = () => done(ask.responseXML);
    ask.onerror = () => done(null);
    ask.send();
  });
}

async function merge(now) {
  const shown = rows(document);
  const added = rows(now).filter((row) => !rowOf(document, row.dataset.request));
  const queue = document.getElementById("queue");
  for (const row of added) row.classList.add("new");
  for (const row of shown.filter((row) => !row.classList.contains("over"))) {
    const same = rowOf(now, row.dataset.request);
    if (same) put(standOf(row), standOf(same).textContent);
    else over(row, said((await stateOf(row.dataset.request))?.state ?? "held"));
  }
  if (added.length === 0) return;
  if (shown.length > 0) queue.querySelector("ol").append(...added);
  else queue.replaceChildren(...now.getElementById("queue").childNodes);
  const count = document.querySelectorAll(".row.new").length;
  const where = shown.length > 0 ? ", at the end of the list" : "";
  put(document.getElementById("fresh"), `${count} new request${count === 1 ? "" : "s"}${where}`);
}

let wanted = false;
let asking = false;

// One question at a time: an old answer must not undo a newer one.
async function askForQueue() {
  wanted = true;
  if (asking) return;
  asking = true;
  while (wanted) {
    wanted = false;
    const now = await printed();
    if (now?.body.dataset.page === "inbox") await merge(now);
    else if (now) put(document.getElementById("fresh"), AWAY);
    else wanted = true;
    await pause(now ? GATHER_MS : RETRY_MS);
  }
  asking = false;
}

function onInbox(news) {
  const row = rowOf(document, news.id);
  if (row && news.state !== "held") over(row, said(news.state));
  else askForQueue();
}

// === The line ===

export function startNews(page, request) {
  if (page !== "inbox" && page !== "card") return;
  const line = document.getElementById(page === "card" ? "said" : "fresh");
  const catchUp = async () => {
    if (line?.textContent === AWAY) put(line, "");
    if (page === "inbox") return askForQueue();
    const now = await stateOf(request);
    if (now) return onCard(request, now);
    if (line?.textContent === "") put(line, AWAY);
    setTimeout(catchUp, RETRY_MS);
  };
  let source = null;
  const close = () => {
    source?.close();
    source = null;
  };
  const open = () => {
    if (source || document.hidden) return;
    source = new EventSource("/events");
    source.onmessage = (event) => {
      const news = JSON.parse(event.data);
      if (page === "card") onCard(request, news);
      else onInbox(news);
    };
    source.onopen = catchUp;
    source.onerror = () => {
      // A line that broke is tried again by the browser; one that was refused is not.
      if (source?.readyState !== EventSource.CLOSED) return;
      close();
      if (line?.textContent === "") put(line, AWAY);
      setTimeout(open, RETRY_MS);
    };
  };
  // A browser keeps few connections to one origin: a page that nobody sees gives its own back.
  document.addEventListener("visibilitychange", () => (document.hidden ? close() : open()));
  open();
}
