// Makes a passkey by a one-time link.
import { create, explain, post, say } from "./passkey.js";

const form = document.getElementById("enrol");
const said = document.getElementById("said");
const button = form.querySelector("button");

button.disabled = false;
form.addEventListener("submit", async (event) => {
  event.preventDefault();
  button.disabled = true;
  say(said, "Preparing…");
  const code = form.elements.code.value.trim();
  try {
    const options = await post(`/enrol/${form.dataset.invite}/prepare`, {});
    say(said, "Follow your device to create the passkey…");
    const made = await create(options);
    const { state } = await post(`/enrol/${form.dataset.invite}`, { code, ...made });
    if (state === "enrolled") {
      say(said, "Your passkey counts from now on. Log in with it.");
      location.assign("/login");
    } else {
      say(said, "Your passkey is made. It counts once another approver has vouched for it, on the page of people.");
    }
  } catch (error) {
    say(said, explain(error), true);
    button.disabled = false;
  }
});
