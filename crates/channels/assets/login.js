// Logs in with a passkey.
import { explain, post, prove, say } from "./passkey.js";

const form = document.getElementById("login");
const said = document.getElementById("said");
const button = form.querySelector("button");

button.disabled = false;
form.addEventListener("submit", async (event) => {
  event.preventDefault();
  button.disabled = true;
  say(said, "Waiting for your passkey…");
  try {
    await post("/login", await prove(await post("/login/prepare", {})));
    location.assign(form.dataset.next);
  } catch (error) {
    say(said, explain(error), true);
    button.disabled = false;
  }
});
