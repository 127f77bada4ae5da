//! Numbers down to the lower end of the range in which they lie, in text and binary format. What cannot be said
//! exactly is not said at all.

use super::super::codec::Format;

const INT8_OID: u32 = 20;
const INT2_OID: u32 = 21;
const INT4_OID: u32 = 23;
const FLOAT4_OID: u32 = 700;
const FLOAT8_OID: u32 = 701;
const NUMERIC_OID: u32 = 1700;

/// Whole numbers up to here are exact as `real`; beyond, rounding would bring the value itself back.
const FLOAT4_MAX: i128 = 1 << 24;
/// The same for `double precision`.
const FLOAT8_MAX: i128 = 1 << 53;
/// Digits before the point of the longest `numeric` that is looked at.
const NUMERIC_DIGITS_MAX: usize = 36;
/// What a digit of `numeric` in binary format counts to.
const NUMERIC_BASE: i128 = 10_000;
const NUMERIC_NEGATIVE: u16 = 0x4000;

/// The greatest multiple of `width` that is not above the value, as a value of its type.
pub(super) fn number(width: u32, type_oid: u32, format: Format, value: &[u8]) -> Option<Vec<u8>> {
    let (least, most) = bounds(type_oid)?;
    let within = |number: &i128| (least..=most).contains(number);
    let floor = match format {
        Format::Text => floor_of_text(type_oid, std::str::from_utf8(value).ok()?),
        Format::Binary => floor_of_binary(type_oid, value),
    };
    let width = i128::from(width.max(1));
    let low = floor.filter(within)?.div_euclid(width).checked_mul(width).filter(within)?;
    match format {
        Format::Text => Some(low.to_string().into_bytes()),
        Format::Binary => binary(type_oid, low),
    }
}

const fn bounds(type_oid: u32) -> Option<(i128, i128)> {
    match type_oid {
        INT2_OID => Some((i16::MIN as i128, i16::MAX as i128)),
        INT4_OID => Some((i32::MIN as i128, i32::MAX as i128)),
        INT8_OID => Some((i64::MIN as i128, i64::MAX as i128)),
        FLOAT4_OID => Some((-FLOAT4_MAX, FLOAT4_MAX)),
        FLOAT8_OID => Some((-FLOAT8_MAX, FLOAT8_MAX)),
        NUMERIC_OID => Some((i128::MIN / 2, i128::MAX / 2)),
        _ => None,
    }
}

fn floor_of_text(type_oid: u32, text: &str) -> Option<i128> {
    match type_oid {
        INT2_OID | INT4_OID | INT8_OID => text.parse::<i64>().ok().map(i128::from),
        FLOAT4_OID | FLOAT8_OID => floor_of_float(text.parse().ok()?),
        _ => {
            let (negative, digits) = text.strip_prefix('-').map_or((false, text), |digits| (true, digits));
            let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
            let plain = whole.bytes().chain(fraction.bytes()).all(|byte| byte.is_ascii_digit());
            if !plain || whole.is_empty() || whole.len() > NUMERIC_DIGITS_MAX {
                return None;
            }
            Some(floor(negative, whole.parse().ok()?, fraction.bytes().any(|byte| byte != b'0')))
        }
    }
}

fn floor_of_binary(type_oid: u32, value: &[u8]) -> Option<i128> {
    match type_oid {
        INT2_OID => value.try_into().ok().map(i16::from_be_bytes).map(i128::from),
        INT4_OID => value.try_into().ok().map(i32::from_be_bytes).map(i128::from),
        INT8_OID => value.try_into().ok().map(i64::from_be_bytes).map(i128::from),
        FLOAT4_OID => floor_of_float(f64::from(f32::from_be_bytes(value.try_into().ok()?))),
        FLOAT8_OID => floor_of_float(f64::from_be_bytes(value.try_into().ok()?)),
        _ => floor_of_numeric(value),
    }
}

/// None for what is no number. What is too large is the greatest there is, and out of every type's bounds.
fn floor_of_float(value: f64) -> Option<i128> {
    value.is_finite().then(|| value.floor() as i128)
}

const fn floor(negative: bool, whole: i128, fraction: bool) -> i128 {
    match (negative, fraction) {
        (false, _) => whole,
        (true, false) => -whole,
        (true, true) => -whole - 1,
    }
}

/// The header of a `numeric` in binary format, two bytes each: number of digits, weight of the first, sign, scale.
fn floor_of_numeric(value: &[u8]) -> Option<i128> {
    let (header, digits) = value.split_first_chunk::<8>()?;
    let [n0, n1, w0, w1, s0, s1, _, _] = *header;
    let (count, weight) = (u16::from_be_bytes([n0, n1]), i16::from_be_bytes([w0, w1]));
    let sign = u16::from_be_bytes([s0, s1]);
    let too_long = i32::from(weight) >= i32::try_from(NUMERIC_DIGITS_MAX / 4).ok()?;
    // Other signs are those of infinities and of what is no number.
    if digits.len() != 2 * usize::from(count) || too_long || !matches!(sign, 0 | NUMERIC_NEGATIVE) {
        return None;
    }
    let (mut whole, mut fraction, mut place) = (0i128, false, i32::from(weight));
    for digit in digits.chunks_exact(2) {
        let digit = i128::from(u16::from_be_bytes(digit.try_into().ok()?));
        if digit >= NUMERIC_BASE {
            return None;
        }
        if place >= 0 {
            whole += digit * NUMERIC_BASE.checked_pow(u32::try_from(place).ok()?)?;
        } else {
            fraction |= digit != 0;
        }
        place -= 1;
    }
    Some(floor(sign == NUMERIC_NEGATIVE, whole, fraction))
}

fn binary(type_oid: u32, low: i128) -> Option<Vec<u8>> {
    Some(match type_oid {
        INT2_OID => i16::try_from(low).ok()?.to_be_bytes().to_vec(),
        INT4_OID => i32::try_from(low).ok()?.to_be_bytes().to_vec(),
        INT8_OID => i64::try_from(low).ok()?.to_be_bytes().to_vec(),
        FLOAT4_OID => (low as f32).to_be_bytes().to_vec(),
        FLOAT8_OID => (low as f64).to_be_bytes().to_vec(),
        _ => numeric(low),
    })
}

fn numeric(low: i128) -> Vec<u8> {
    let (mut rest, mut digits) = (low.unsigned_abs(), Vec::new());
    while rest > 0 {
        digits.push(u16::try_from(rest % NUMERIC_BASE.unsigned_abs()).unwrap_or_default());
        rest /= NUMERIC_BASE.unsigned_abs();
    }
    digits.reverse();
    let weight = i16::try_from(digits.len()).unwrap_or_default().saturating_sub(1).max(0);
    while digits.last() == Some(&0) {
        digits.pop();
    }
    let sign = if low < 0 { NUMERIC_NEGATIVE } else { 0 };
    let count = u16::try_from(digits.len()).unwrap_or_default();
    let mut out = [count.to_be_bytes(), weight.to_be_bytes(), sign.to_be_bytes(), [0, 0]].concat();
    digits.iter().for_each(|digit| out.extend(digit.to_be_bytes()));
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn text(width: u32, oid: u32, value: &str) -> Option<String> {
        let out = number(width, oid, Format::Text, value.as_bytes())?;
        Some(String::from_utf8(out).unwrap())
    }

    #[test]
    fn a_number_shows_the_range_it_lies_in() {
        for (oid, value, expected) in [
            (INT4_OID, "1234", Some("1200")),
            (INT4_OID, "-1", Some("-100")),
            (INT2_OID, "32767", Some("32700")),
            // The range begins below what the type holds.
            (INT2_OID, "-32768", None),
            (INT8_OID, "9223372036854775807", Some("9223372036854775800")),
            (FLOAT8_OID, "1234.56", Some("1200")),
            (FLOAT8_OID, "-0.5", Some("-100")),
            (FLOAT8_OID, "1e+07", Some("10000000")),
            (FLOAT8_OID, "1e+300", None),
            (FLOAT8_OID, "NaN", None),
            (FLOAT8_OID, "-Infinity", None),
            (FLOAT4_OID, "123456790000", None),
            (NUMERIC_OID, "1234.5600", Some("1200")),
            (NUMERIC_OID, "-100.00", Some("-100")),
            (NUMERIC_OID, "-100.01", Some("-200")),
            (NUMERIC_OID, "NaN", None),
            (NUMERIC_OID, "12345678901234567890123456789012345678901", None),
            (NUMERIC_OID, "1e5", None),
            (790, "$1,234.00", None),
            (1560, "1010", None),
        ] {
            assert_eq!(text(100, oid, value).as_deref(), expected, "{oid} {value}");
        }
    }

    fn any_number() -> impl Strategy<Value = (u32, i64)> {
        prop_oneof![
            any::<i16>().prop_map(|n| (INT2_OID, i64::from(n))),
            any::<i32>().prop_map(|n| (INT4_OID, i64::from(n))),
            any::<i64>().prop_map(|n| (INT8_OID, n)),
            (-(1i64 << 24)..(1 << 24)).prop_map(|n| (FLOAT4_OID, n)),
            (-(1i64 << 53)..(1 << 53)).prop_map(|n| (FLOAT8_OID, n)),
            any::<i64>().prop_map(|n| (NUMERIC_OID, n)),
        ]
    }

    proptest! {
        #[test]
        fn both_formats_say_the_same((oid, n) in any_number(), width in 2u32..2_000_000) {
            let low = i128::from(n).div_euclid(width.into()) * i128::from(width);
            let shown = number(width, oid, Format::Binary, &binary(oid, n.into()).unwrap());
            let text = number(width, oid, Format::Text, n.to_string().as_bytes());
            prop_assert_eq!(shown.is_some(), text.is_some());
            if let (Some(shown), Some(text)) = (shown, text) {
                prop_assert_eq!(floor_of_binary(oid, &shown), Some(low));
                prop_assert_eq!(String::from_utf8(text).unwrap(), low.to_string());
            }
        }

        #[test]
        fn any_bytes_are_a_number_or_nothing(
            oid in prop::sample::select(vec![INT2_OID, INT4_OID, INT8_OID, FLOAT4_OID, FLOAT8_OID, NUMERIC_OID]),
            bytes in proptest::collection::vec(any::<u8>(), 0..40),
            width in 2u32..1000,
        ) {
            for format in [Format::Text, Format::Binary] {
                if let Some(out) = number(width, oid, format, &bytes) {
                    let low = match format {
                        Format::Text => floor_of_text(oid, std::str::from_utf8(&out).unwrap()),
                        Format::Binary => floor_of_binary(oid, &out),
                    };
                    prop_assert_eq!(low.unwrap().rem_euclid(width.into()), 0);
                }
            }
        }
    }
}
