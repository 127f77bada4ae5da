// Passkeys and the gate's own addresses. What is signed is computed here from what the page shows; the server's word
// is not taken for it.

const decode = (text) =>
  Uint8Array.from(atob(text.replaceAll("-", "+").replaceAll("_", "/")), (c) => c.charCodeAt(0));
const encode = (buffer) =>
  btoa(String.fromCharCode(...new Uint8Array(buffer)))
    .replaceAll("+", "-")
    .replaceAll("/", "_")
    .replaceAll("=", "");
const same = (a, b) => a.length === b.length && a.every((byte, at) => byte === b[at]);

const PAYLOAD_TYPE = "application/vnd.in-toto+json";

/** Posts JSON and gives back JSON; a refusal becomes an error in the gate's own words. */
export async function post(path, body) {
  const csrf = document.querySelector('meta[name="csrf"]')?.content ?? "";
  const answer = await fetch(path, {
    method: "POST",
    headers: { "content-type": "application/json", accept: "application/json", "x-csrf-token": csrf },
    body: JSON.stringify(body),
    redirect: "error",
  });
  const json = await answer.json().catch(() => ({}));
  if (!answer.ok) throw new Error(json.error ?? `The gate answered ${answer.status}.`);
  return json;
}

/** DSSE v1.0: SHA-256 over "DSSEv1", the type and the payload, each with its length. */
async function challengeOf(payload) {
  const head = new TextEncoder().encode(
    `DSSEv1 ${PAYLOAD_TYPE.length} ${PAYLOAD_TYPE} ${payload.length} `,
  );
  const pae = new Uint8Array(head.length + payload.length);
  pae.set(head);
  pae.set(payload, head.length);
  return new Uint8Array(await crypto.subtle.digest("SHA-256", pae));
}

/** Signs a statement after `agree` has looked at it. The challenge is computed here and compared. */
export async function sign(prepared, agree) {
  const payload = decode(prepared.payload);
  agree(JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(payload)));
  const challenge = await challengeOf(payload);
  if (!same(challenge, decode(prepared.challenge))) {
    throw new Error("The gate asked for a signature over something else. Nothing was signed.");
  }
  return { payload: prepared.payload, assertion: await assert({ ...prepared, challenge }) };
}

/** Asks a passkey to sign a challenge of a login. */
export const prove = (prepared) => assert({ ...prepared, challenge: decode(prepared.challenge) });

async function assert({ challenge, allow, rp_id }) {
  const found = await navigator.credentials.get({
    publicKey: {
      challenge,
      rpId: rp_id,
      userVerification: "required",
      timeout: 120000,
      allowCredentials: allow.map((id) => ({ type: "public-key", id: decode(id) })),
    },
  });
  const { authenticatorData, clientDataJSON, signature, userHandle } = found.response;
  return {
    credential: encode(found.rawId),
    authenticator_data: encode(authenticatorData),
    client_data: encode(clientDataJSON),
    signature: encode(signature),
    user_handle: userHandle ? encode(userHandle) : null,
  };
}

/** Makes a passkey. */
export async function create(options) {
  const made = await navigator.credentials.create({
    publicKey: {
      challenge: decode(options.challenge),
      rp: { id: options.rp_id, name: "Countersign" },
      user: { id: decode(options.user), name: options.name, displayName: options.display },
      pubKeyCredParams: options.algorithms.map((alg) => ({ type: "public-key", alg })),
      excludeCredentials: options.exclude.map((id) => ({ type: "public-key", id: decode(id) })),
      authenticatorSelection: { residentKey: "required", requireResidentKey: true, userVerification: "required" },
      attestation: "none",
      timeout: 120000,
    },
  });
  return {
    client_data: encode(made.response.clientDataJSON),
    attestation: encode(made.response.attestationObject),
  };
}

/** What went wrong, in words for the page. */
export function explain(error) {
  if (error?.name === "NotAllowedError") return "The passkey prompt was closed or timed out. Nothing was signed.";
  if (error?.name === "InvalidStateError") return "This device holds a passkey for you already.";
  if (error?.name === "SecurityError") return "This address is not the one that passkeys are made for.";
  return error?.message || "Something failed. Nothing was signed.";
}

/** Says something in a line that is there already. */
export function say(line, text, bad = false) {
  line.textContent = text;
  line.classList.toggle("bad-news", bad);
}
