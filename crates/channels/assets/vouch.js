// Vouches for another person's new key.
import { explain, post, say, sign } from "./passkey.js";

for (const form of document.querySelectorAll("form.vouch")) {
  const button = form.querySelector("button");
  const said = form.querySelector(".live");
  const key = form.dataset.key;
  const agree = (statement) => {
    if (statement.predicate.keyId !== key) {
      throw new Error("The gate prepared something about another key. Nothing was signed.");
    }
  };
  button.disabled = false;
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    button.disabled = true;
    say(said, "Sign with your passkey…");
    try {
      const signed = await sign(await post("/people/vouch/prepare", { key }), agree);
      await post("/people/vouch", { key, ...signed });
      say(said, "Vouched. The key counts from now on.");
    } catch (error) {
      say(said, explain(error), true);
      button.disabled = false;
    }
  });
}
