"""Verifies decisions with tools that are not ours: `decisions.py DIR`.

DIR holds `keys.json` (the gate's key and people's keys, as the log tells of them) and `decisions/*.json` (DSSE
envelopes). The gate's signature is verified by securesystemslib, a passkey's by py_webauthn, an SSH key's by
`ssh-keygen -Y verify`. Each must also refuse the same decision with one bit flipped, in the payload and in the
signature.
"""

import base64
import copy
import hashlib
import json
import pathlib
import subprocess
import sys
import tempfile
from collections import Counter
from importlib.metadata import version

from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_public_key
from securesystemslib.dsse import Envelope
from securesystemslib.exceptions import VerificationError
from securesystemslib.signer import SSlibKey
from webauthn import verify_authentication_response
from webauthn.helpers import bytes_to_base64url
from webauthn.helpers.exceptions import InvalidAuthenticationResponse

PAYLOAD_TYPE = "application/vnd.in-toto+json"
WEBAUTHN = "urn:countersign:dsse-webauthn:v1"
SSHSIG = "urn:countersign:dsse-sshsig:v1"
NAMESPACE = "decision@countersign"


class Refused(Exception):
    """A tool does not accept a decision."""


def unpadded(text):
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def gate(pem):
    """The gate's key for securesystemslib; its id is the SHA-256 of its SubjectPublicKeyInfo."""
    public = load_pem_public_key(pem.encode())
    spki = public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return SSlibKey.from_crypto(public, keyid=hashlib.sha256(spki).hexdigest())


def verify_gate(raw, key):
    try:
        Envelope.from_dict(copy.deepcopy(raw)).verify([key], 1)
    except VerificationError as error:
        raise Refused(error) from error


def verify_person(raw, keys):
    """Gives the name of the tool that verified the first signature."""
    envelope = Envelope.from_dict(copy.deepcopy(raw))
    signature = raw["signatures"][0]
    key = keys.get(signature["keyid"])
    if key is None:
        raise Refused("the key is not enrolled")
    kind, extension = signature["extension"]["kind"], signature["extension"]["ext"]
    if kind == WEBAUTHN:
        verify_passkey(envelope.pae(), signature, extension, key)
        return f"py_webauthn {version('webauthn')}"
    if kind == SSHSIG:
        verify_ssh(envelope.pae(), signature, key)
        return "ssh-keygen -Y verify"
    raise Refused(f"unknown extension {kind}")


def verify_passkey(pae, signature, extension, key):
    identifier = key["id"].removeprefix("webauthn:")
    credential = {
        "id": identifier,
        "rawId": identifier,
        "type": "public-key",
        "response": {
            "authenticatorData": bytes_to_base64url(base64.b64decode(extension["authenticatorData"])),
            "clientDataJSON": bytes_to_base64url(base64.b64decode(extension["clientDataJSON"])),
            "signature": bytes_to_base64url(base64.b64decode(signature["sig"])),
        },
    }
    try:
        verify_authentication_response(
            credential=credential,
            expected_challenge=hashlib.sha256(pae).digest(),
            expected_rp_id=key["rp_id"],
            expected_origin=key["origin"],
            credential_public_key=unpadded(key["public_key"]),
            credential_current_sign_count=0,
            require_user_verification=True,
        )
    except InvalidAuthenticationResponse as error:
        raise Refused(error) from error


def verify_ssh(pae, signature, key):
    body = base64.b64encode(base64.b64decode(signature["sig"])).decode()
    lines = "\n".join(body[at : at + 70] for at in range(0, len(body), 70))
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        armored = f"-----BEGIN SSH SIGNATURE-----\n{lines}\n-----END SSH SIGNATURE-----\n"
        (folder / "sig").write_text(armored)
        (folder / "allowed").write_text(f'{key["person"]} namespaces="{NAMESPACE}" {key["public_key"]}\n')
        command = ["ssh-keygen", "-Y", "verify", "-f", folder / "allowed", "-I", key["person"]]
        command += ["-n", NAMESPACE, "-s", folder / "sig"]
        done = subprocess.run(command, input=pae, capture_output=True, check=False)
    if done.returncode != 0:
        raise Refused((done.stdout + done.stderr).decode(errors="replace").strip())


def flipped(raw, part):
    """The same envelope with the lowest bit of one byte flipped."""
    raw = copy.deepcopy(raw)
    holder, name = (raw, "payload") if part == "payload" else (raw["signatures"][part], "sig")
    data = bytearray(base64.b64decode(holder[name]))
    data[-2] ^= 1
    holder[name] = base64.b64encode(data).decode()
    return raw


def refuses(verify, *arguments):
    try:
        verify(*arguments)
    except Refused:
        return
    raise SystemExit(f"FAILED: {verify.__name__} accepts a decision with a flipped bit")


def main(folder):
    folder = pathlib.Path(folder)
    told = json.loads((folder / "keys.json").read_text())
    keys = {key["id"]: key for key in told["keys"]}
    gate_key = gate(told["gate_key"])
    files = sorted((folder / "decisions").glob("*.json"))
    if not files:
        raise SystemExit("FAILED: no decisions to verify")
    verified = Counter()
    for file in files:
        raw = json.loads(file.read_text())
        if raw["payloadType"] != PAYLOAD_TYPE or len(raw["signatures"]) != 2:
            raise SystemExit(f"FAILED: {file.name} is not a decision that a person and the gate signed")
        try:
            verified[verify_person(raw, keys)] += 1
            verify_gate(raw, gate_key)
        except Refused as error:
            raise SystemExit(f"FAILED: {file.name}: {error}") from error
        verified[f"securesystemslib {version('securesystemslib')}"] += 1
        for part in ("payload", 0):
            refuses(verify_person, flipped(raw, part), keys)
        for part in ("payload", 1):
            refuses(verify_gate, flipped(raw, part), gate_key)
    for tool, count in sorted(verified.items()):
        print(f"ok       {tool}: {count} signatures over decisions; each with a flipped bit is refused")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        raise SystemExit(__doc__)
    main(sys.argv[1])
