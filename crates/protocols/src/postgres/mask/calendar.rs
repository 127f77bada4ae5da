//! Dates and timestamps down to the beginning of their hour, day, month or year, in UTC. Reads what the server writes
//! under DateStyle ISO; what is written otherwise is not understood, and not shown.

use countersign_core::mask::Bucket;

use super::super::codec::Format;

const DATE_OID: u32 = 1082;
const TIMESTAMP_OID: u32 = 1114;
const TIMESTAMPTZ_OID: u32 = 1184;

const MICROS_A_SECOND: i64 = 1_000_000;
const SECONDS_A_DAY: i64 = 86_400;
const MICROS_AN_HOUR: i64 = 3_600 * MICROS_A_SECOND;
const MICROS_A_DAY: i64 = SECONDS_A_DAY * MICROS_A_SECOND;
/// Days from 0000-03-01 to 2000-01-01, where PostgreSQL begins to count.
const EPOCH_DAYS: i64 = 730_425;
/// Days in four hundred years.
const ERA_DAYS: i64 = 146_097;
/// The last year of which days are counted here: that of the last `date`.
const YEAR_MAX: i64 = 5_874_897;

/// The beginning of the span in which a time lies, as a value of its type.
pub(super) fn time(span: Bucket, type_oid: u32, format: Format, value: &[u8]) -> Option<Vec<u8>> {
    match (type_oid, format) {
        (DATE_OID, Format::Binary) => {
            let days = i32::from_be_bytes(value.try_into().ok()?);
            // Infinities.
            let days = Some(days).filter(|days| !matches!(*days, i32::MIN | i32::MAX))?;
            let low = first_day(span, days.into())?;
            Some(i32::try_from(low).ok()?.to_be_bytes().to_vec())
        }
        (DATE_OID, Format::Text) => {
            let (days, "") = date(std::str::from_utf8(value).ok()?)? else { return None };
            Some(date_text(first_day(span, days)?)?.into_bytes())
        }
        (TIMESTAMP_OID | TIMESTAMPTZ_OID, Format::Binary) => {
            let micros = i64::from_be_bytes(value.try_into().ok()?);
            let micros = Some(micros).filter(|micros| !matches!(*micros, i64::MIN | i64::MAX))?;
            Some(first_micro(span, micros)?.to_be_bytes().to_vec())
        }
        (TIMESTAMP_OID | TIMESTAMPTZ_OID, Format::Text) => {
            let (micros, zone) = timestamp(std::str::from_utf8(value).ok()?)?;
            let (east, shown) = match type_oid {
                TIMESTAMPTZ_OID => (offset_seconds(zone)?, "+00"),
                _ => (Some(0).filter(|_| zone.is_empty())?, ""),
            };
            let low = first_micro(span, micros.checked_sub(east * MICROS_A_SECOND)?)?;
            let hour = low.rem_euclid(MICROS_A_DAY) / MICROS_AN_HOUR;
            let day = date_text(low.div_euclid(MICROS_A_DAY))?;
            Some(format!("{day} {hour:02}:00:00{shown}").into_bytes())
        }
        _ => None,
    }
}

/// None where the span is none of days: it would show the date itself.
fn first_day(span: Bucket, days: i64) -> Option<i64> {
    let (year, month, _) = civil(days)?;
    match span {
        Bucket::Month => Some(days_of(year, month, 1)),
        Bucket::Year => Some(days_of(year, 1, 1)),
        Bucket::Hour | Bucket::Day | Bucket::Width(_) => None,
    }
}

fn first_micro(span: Bucket, micros: i64) -> Option<i64> {
    let days = micros.div_euclid(MICROS_A_DAY);
    civil(days)?;
    match span {
        Bucket::Hour => micros.div_euclid(MICROS_AN_HOUR).checked_mul(MICROS_AN_HOUR),
        Bucket::Day => days.checked_mul(MICROS_A_DAY),
        Bucket::Month | Bucket::Year => first_day(span, days)?.checked_mul(MICROS_A_DAY),
        Bucket::Width(_) => None,
    }
}

/// Year, month and day of a day after 2000-01-01, in years that are written without `BC`.
fn civil(days: i64) -> Option<(i64, i64, i64)> {
    let days = days.checked_add(EPOCH_DAYS)?;
    let (era, day_of_era) = (days.div_euclid(ERA_DAYS), days.rem_euclid(ERA_DAYS));
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    // Months from March on, so that the leap day is the last of the year.
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = year_of_era + 400 * era + i64::from(month <= 2);
    (1..=YEAR_MAX).contains(&year).then_some((year, month, day))
}

/// Days after 2000-01-01.
fn days_of(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let (era, year_of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let month_from_march = if month > 2 { month - 3 } else { month + 9 };
    let day_of_year = (153 * month_from_march + 2) / 5 + day - 1;
    let day_of_era = 365 * year_of_era + year_of_era / 4 - year_of_era / 100 + day_of_year;
    ERA_DAYS * era + day_of_era - EPOCH_DAYS
}

fn date_text(days: i64) -> Option<String> {
    let (year, month, day) = civil(days)?;
    Some(format!("{year:04}-{month:02}-{day:02}"))
}

/// Reads `YYYY-MM-DD`: the day, and what stands behind it. Years have four digits or more: no other DateStyle
/// begins like that.
fn date(text: &str) -> Option<(i64, &str)> {
    let (year, rest) = text.split_once('-')?;
    let (month, rest) = rest.split_once('-')?;
    let (day, rest) = rest.split_at_checked(2)?;
    if year.len() < 4 {
        return None;
    }
    let (year, month, day) = (digits(year, 7)?, two_digits(month)?, two_digits(day)?);
    let days = Some(days_of(year, month, day)).filter(|_| (1..=YEAR_MAX).contains(&year));
    // A day that there is not comes back as another.
    let days = days.filter(|days| civil(*days) == Some((year, month, day)))?;
    Some((days, rest))
}

/// Reads `YYYY-MM-DD HH:MM:SS[.F]`: microseconds, without the fraction, and what stands behind it.
fn timestamp(text: &str) -> Option<(i64, &str)> {
    let (days, rest) = date(text)?;
    let (hour, rest) = rest.strip_prefix(' ')?.split_once(':')?;
    let (minute, rest) = rest.split_once(':')?;
    let (second, rest) = rest.split_at_checked(2)?;
    let fraction = |rest: &str| rest.bytes().take_while(u8::is_ascii_digit).count();
    let rest = match rest.strip_prefix('.') {
        Some(rest) => rest.get(fraction(rest)..)?,
        None => rest,
    };
    let (hour, minute, second) = (two_digits(hour)?, two_digits(minute)?, two_digits(second)?);
    if hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let seconds = days * SECONDS_A_DAY + hour * 3_600 + minute * 60 + second;
    Some((seconds.checked_mul(MICROS_A_SECOND)?, rest))
}

/// Reads `+HH[:MM[:SS]]`: seconds east of UTC.
fn offset_seconds(text: &str) -> Option<i64> {
    let (sign, text) = match text.split_at_checked(1)? {
        ("+", text) => (1, text),
        ("-", text) => (-1, text),
        _ => return None,
    };
    let mut seconds = 0;
    let mut unit = 3_600;
    for part in text.split(':') {
        seconds += two_digits(part)? * unit;
        unit /= 60;
    }
    (text.len() <= "HH:MM:SS".len()).then_some(sign * seconds)
}

fn two_digits(text: &str) -> Option<i64> {
    digits(text, 2).filter(|_| text.len() == 2)
}

fn digits(text: &str, most: usize) -> Option<i64> {
    let plain = !text.is_empty() && text.len() <= most && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| plain)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn text(span: Bucket, oid: u32, value: &str) -> Option<String> {
        Some(String::from_utf8(time(span, oid, Format::Text, value.as_bytes())?).unwrap())
    }

    #[test]
    fn a_time_shows_the_span_it_lies_in() {
        for (span, oid, value, expected) in [
            (Bucket::Year, DATE_OID, "1984-02-29", Some("1984-01-01")),
            (Bucket::Month, DATE_OID, "1984-02-29", Some("1984-02-01")),
            (Bucket::Month, DATE_OID, "12024-12-31", Some("12024-12-01")),
            (Bucket::Day, DATE_OID, "1984-02-29", None),
            (Bucket::Hour, DATE_OID, "1984-02-29", None),
            (Bucket::Year, DATE_OID, "0044-03-15 BC", None),
            (Bucket::Year, DATE_OID, "infinity", None),
            (Bucket::Year, DATE_OID, "29.02.1984", None),
            (Bucket::Year, DATE_OID, "02-29-1984", None),
            (Bucket::Year, DATE_OID, "1985-02-29", None),
            (Bucket::Hour, TIMESTAMP_OID, "2024-05-06 17:18:19.123456", Some("2024-05-06 17:00:00")),
            (Bucket::Day, TIMESTAMP_OID, "1999-12-31 23:59:59", Some("1999-12-31 00:00:00")),
            (Bucket::Year, TIMESTAMP_OID, "2024-05-06 17:18:19 BC", None),
            (Bucket::Year, TIMESTAMP_OID, "Mon May 06 17:18:19 2024", None),
            // Summer or winter is not told either.
            (Bucket::Month, TIMESTAMPTZ_OID, "2024-06-01 01:30:00+02", Some("2024-05-01 00:00:00+00")),
            (Bucket::Hour, TIMESTAMPTZ_OID, "2024-01-01 00:10:00-05:30", Some("2024-01-01 05:00:00+00")),
            (Bucket::Year, TIMESTAMPTZ_OID, "1890-01-01 00:00:00.5+00:53:28", Some("1889-01-01 00:00:00+00")),
            (Bucket::Year, TIMESTAMPTZ_OID, "2024-01-01 00:00:00 CET", None),
            (Bucket::Year, TIMESTAMPTZ_OID, "2024-01-01 00:00:00", None),
            (Bucket::Hour, 1083, "17:18:19", None),
            (Bucket::Year, 1186, "3 years", None),
        ] {
            assert_eq!(text(span, oid, value).as_deref(), expected, "{span:?} {value}");
        }
        for infinite in [i32::MIN, i32::MAX] {
            assert_eq!(time(Bucket::Year, DATE_OID, Format::Binary, &infinite.to_be_bytes()), None);
        }
    }

    proptest! {
        #[test]
        fn a_day_has_one_date(days in -730_000i64..100_000_000) {
            let (year, month, day) = civil(days).unwrap();
            prop_assert_eq!(days_of(year, month, day), days);
            let written = date_text(days).unwrap();
            prop_assert_eq!(date(&written), Some((days, "")));
        }

        #[test]
        fn both_formats_say_the_same(
            micros in -60_000_000_000_000_000i64..900_000_000_000_000_000,
            span in prop::sample::select(vec![Bucket::Hour, Bucket::Day, Bucket::Month, Bucket::Year]),
        ) {
            let seconds = micros.div_euclid(MICROS_A_SECOND);
            let (days, of_day) = (seconds.div_euclid(SECONDS_A_DAY), seconds.rem_euclid(SECONDS_A_DAY));
            let (hour, minute, second) = (of_day / 3_600, of_day / 60 % 60, of_day % 60);
            let written = format!("{} {hour:02}:{minute:02}:{second:02}", date_text(days).unwrap());
            let shown = text(span, TIMESTAMP_OID, &written).unwrap();
            let binary = time(span, TIMESTAMP_OID, Format::Binary, &micros.to_be_bytes()).unwrap();
            let binary = i64::from_be_bytes(binary.try_into().unwrap());
            prop_assert_eq!(timestamp(&shown), Some((binary, "")));
            prop_assert!(binary <= micros);
        }

        #[test]
        fn any_bytes_are_a_time_or_nothing(bytes in proptest::collection::vec(any::<u8>(), 0..40), odd in "[0-9:+ .-]{0,32}") {
            for oid in [DATE_OID, TIMESTAMP_OID, TIMESTAMPTZ_OID] {
                for format in [Format::Text, Format::Binary] {
                    let _ = time(Bucket::Year, oid, format, &bytes);
                    let _ = time(Bucket::Hour, oid, format, odd.as_bytes());
                }
            }
        }
    }
}
