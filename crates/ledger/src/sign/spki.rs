//! The few DER shapes of public keys (RFC 5280 SubjectPublicKeyInfo) and their PEM. It refuses to parse DER in
//! general: each key kind has one exact prefix.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

const BEGIN: &str = "-----BEGIN PUBLIC KEY-----\n";
const END: &str = "-----END PUBLIC KEY-----\n";
const LINE: usize = 64;
/// The longest PEM of an Ed25519 key that is looked at; comments around it are not allowed.
const PEM_BYTES_MAX: usize = 256;

/// SubjectPublicKeyInfo up to the 32 bytes of an Ed25519 key (RFC 8410).
const ED25519: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];
/// SubjectPublicKeyInfo up to the 65 bytes of an uncompressed P-256 point (RFC 5480).
const P256: [u8; 26] = [
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86,
    0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];
/// AlgorithmIdentifier rsaEncryption with NULL parameters (RFC 3279).
const RSA_ALGORITHM: [u8; 15] =
    [0x30, 0x0d, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01, 0x05, 0x00];

pub(crate) fn ed25519(public: &[u8; 32]) -> Vec<u8> {
    [ED25519.as_slice(), public].concat()
}

pub(crate) fn ed25519_from(spki: &[u8]) -> Option<[u8; 32]> {
    spki.strip_prefix(&ED25519).and_then(|key| key.try_into().ok())
}

pub(crate) fn p256(point: &[u8; 65]) -> Vec<u8> {
    [P256.as_slice(), point].concat()
}

/// PKCS #1 RSAPublicKey of a big-endian modulus and exponent.
pub(crate) fn rsa_public_key(modulus: &[u8], exponent: &[u8]) -> Vec<u8> {
    der(0x30, &[unsigned(modulus), unsigned(exponent)].concat())
}

pub(crate) fn rsa(modulus: &[u8], exponent: &[u8]) -> Vec<u8> {
    let key = [vec![0], rsa_public_key(modulus, exponent)].concat();
    der(0x30, &[RSA_ALGORITHM.to_vec(), der(0x03, &key)].concat())
}

/// A DER INTEGER of an unsigned big-endian number.
fn unsigned(number: &[u8]) -> Vec<u8> {
    let digits = number.iter().position(|byte| *byte != 0).and_then(|at| number.get(at..)).unwrap_or(&[0]);
    let sign: &[u8] = if digits.first().is_some_and(|byte| *byte >= 0x80) { &[0] } else { &[] };
    der(0x02, &[sign, digits].concat())
}

fn der(tag: u8, body: &[u8]) -> Vec<u8> {
    let length = body.len().to_be_bytes();
    let significant: Vec<u8> = length.iter().copied().skip_while(|byte| *byte == 0).collect();
    let mut out = vec![tag];
    match (significant.as_slice(), u8::try_from(significant.len())) {
        ([], _) => out.push(0),
        ([short], _) if *short < 0x80 => out.push(*short),
        (long, count) => {
            out.push(0x80 | count.unwrap_or(8));
            out.extend_from_slice(long);
        }
    }
    out.extend_from_slice(body);
    out
}

pub(crate) fn to_pem(spki: &[u8]) -> String {
    let mut out = String::from(BEGIN);
    for (at, character) in STANDARD.encode(spki).chars().enumerate() {
        if at > 0 && at % LINE == 0 {
            out.push('\n');
        }
        out.push(character);
    }
    out.push('\n');
    out.push_str(END);
    out
}

/// The DER inside a short PEM, which must be the one that `to_pem` prints (the last newline may lack).
pub(crate) fn from_pem(pem: &str) -> Option<Vec<u8>> {
    if pem.len() > PEM_BYTES_MAX {
        return None;
    }
    let body = pem.strip_prefix(BEGIN)?;
    let body = body.strip_suffix(END).or_else(|| body.strip_suffix(END.trim_end()))?;
    STANDARD.decode(body.lines().collect::<String>()).ok()
}
