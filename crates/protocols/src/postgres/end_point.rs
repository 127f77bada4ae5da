//! The hash of a certificate for channel binding (RFC 5929 §4.1, `tls-server-end-point`). Reads just
//! enough DER to find the signature's algorithm; trust is rustls' matter, and whose certificate it is nobody's here.

use aws_lc_rs::digest::{Algorithm, SHA224, SHA256, SHA384, SHA512, digest};

const SEQUENCE: u8 = 0x30;
const OBJECT_IDENTIFIER: u8 = 0x06;
const CONTEXT_0: u8 = 0xa0;

/// `1.2.840.113549.1.1`
const PKCS_1: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01];
/// `1.2.840.10045.4`
const ECDSA: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04];
/// `2.16.840.1.101.3.4.2`
const NIST_HASHES: &[u8] = &[0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02];

/// The hash of a DER certificate by its own signature's hash (SHA-256 in place of MD5 and SHA-1), or
/// `None` where the signature names none, as Ed25519.
pub(in crate::postgres) fn end_point_hash(certificate: &[u8]) -> Option<Vec<u8>> {
    let algorithm = signature_hash(certificate)?;
    Some(digest(algorithm, certificate).as_ref().to_vec())
}

fn signature_hash(certificate: &[u8]) -> Option<&'static Algorithm> {
    let (certificate, _) = element(certificate, SEQUENCE)?;
    let (_, after_body) = element(certificate, SEQUENCE)?;
    let (algorithm, _) = element(after_body, SEQUENCE)?;
    let (oid, parameters) = element(algorithm, OBJECT_IDENTIFIER)?;
    if let Some(rest) = oid.strip_prefix(PKCS_1) {
        return match rest {
            [4 | 5 | 11] => Some(&SHA256),
            [10] => pss_hash(parameters),
            [12] => Some(&SHA384),
            [13] => Some(&SHA512),
            [14] => Some(&SHA224),
            _ => None,
        };
    }
    match oid.strip_prefix(ECDSA)? {
        [1] | [3, 2] => Some(&SHA256),
        [3, 1] => Some(&SHA224),
        [3, 3] => Some(&SHA384),
        [3, 4] => Some(&SHA512),
        _ => None,
    }
}

/// RFC 4055 §3.1: the hash stands in the parameters; without one it is SHA-1, for which SHA-256 steps in.
fn pss_hash(parameters: &[u8]) -> Option<&'static Algorithm> {
    let (parameters, _) = element(parameters, SEQUENCE)?;
    let Some((hash, _)) = element(parameters, CONTEXT_0) else { return Some(&SHA256) };
    let (hash, _) = element(hash, SEQUENCE)?;
    let (oid, _) = element(hash, OBJECT_IDENTIFIER)?;
    match oid.strip_prefix(NIST_HASHES) {
        None | Some([1]) => Some(&SHA256),
        Some([2]) => Some(&SHA384),
        Some([3]) => Some(&SHA512),
        Some([4]) => Some(&SHA224),
        Some(_) => None,
    }
}

/// The content of the DER element at the front, if it has this tag, and what follows it.
fn element(der: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let [found, length, rest @ ..] = der else { return None };
    if *found != tag {
        return None;
    }
    let (length, rest) = match *length {
        short @ 0..0x80 => (usize::from(short), rest),
        long => {
            let (bytes, rest) = rest.split_at_checked(usize::from(long & 0x7f))?;
            if bytes.len() > 4 {
                return None;
            }
            (bytes.iter().fold(0, |length, byte| length << 8 | usize::from(*byte)), rest)
        }
    };
    rest.split_at_checked(length)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rcgen::{CertificateParams, KeyPair, SignatureAlgorithm};

    use super::*;

    fn hash_length(algorithm: &'static SignatureAlgorithm) -> Option<usize> {
        let key = KeyPair::generate_for(algorithm).unwrap();
        let certificate = CertificateParams::new(vec!["db".to_owned()]).unwrap().self_signed(&key).unwrap();
        end_point_hash(certificate.der()).map(|hash| hash.len())
    }

    #[test]
    fn the_hash_is_that_of_the_signature() {
        assert_eq!(hash_length(&rcgen::PKCS_ECDSA_P256_SHA256), Some(32));
        assert_eq!(hash_length(&rcgen::PKCS_ECDSA_P384_SHA384), Some(48));
        assert_eq!(hash_length(&rcgen::PKCS_ED25519), None);
    }

    #[test]
    fn rsa_signatures_name_their_hash() {
        let with = |algorithm: &[u8]| {
            let mut inner = vec![SEQUENCE, 0];
            inner.extend([SEQUENCE, u8::try_from(algorithm.len()).unwrap()]);
            inner.extend(algorithm);
            let mut whole = vec![SEQUENCE, 0x81, u8::try_from(inner.len()).unwrap()];
            whole.extend(inner);
            end_point_hash(&whole).map(|hash| hash.len())
        };
        let pkcs = |last: u8| [&[OBJECT_IDENTIFIER, 9], PKCS_1, &[last]].concat();
        assert_eq!([5, 11, 12, 13].map(|last| with(&pkcs(last))), [Some(32), Some(32), Some(48), Some(64)]);
        let hash = [&[CONTEXT_0, 13, SEQUENCE, 11, OBJECT_IDENTIFIER, 9], NIST_HASHES, &[3]].concat();
        let pss = [pkcs(10), vec![SEQUENCE, 15], hash].concat();
        assert_eq!(with(&pss), Some(64));
        assert_eq!(with(&[pkcs(10), vec![SEQUENCE, 0]].concat()), Some(32));
    }

    proptest! {
        #[test]
        fn random_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..60)) {
            let _ = end_point_hash(&bytes);
            let mut nested = vec![SEQUENCE, u8::try_from(bytes.len() + 2).unwrap(), SEQUENCE, 0];
            nested.extend(&bytes);
            let _ = end_point_hash(&nested);
        }
    }
}
