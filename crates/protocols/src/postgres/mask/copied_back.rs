//! Values of a COPY from the client, looked through on their way for masks of this gate that would be written where a
//! value was. One value at a time, of any length in little memory, however the data is cut. Reads more than the server
//! would take, and leaves it to the server to refuse that.

use super::copy::{CopyFormat, CopyOptions};
use super::token::TokenKey;
use super::written_back::{WrittenBack, written_back};

/// A value is looked at whole up to this length; of a longer one, piece by piece, for tokens in it.
const VALUE_BYTES_MAX: usize = 8 << 10;
/// What is kept of a piece for the next: longer than any token.
const OVERLAP_BYTES: usize = 256;
/// Signature, flags, length of the extension.
const HEADER_BYTES: usize = 19;

/// Looks through the data of one COPY.
#[derive(Debug)]
pub struct CopiedBack {
    key: TokenKey,
    options: CopyOptions,
    value: Vec<u8>,
    /// Some of the value is gone from `value`.
    long: bool,
    at: At,
    found: Option<WrittenBack>,
}

/// Where in its data it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum At {
    Plain,
    /// Behind a backslash (text).
    Escaped,
    /// Within the digits of a code: base, digits that may still come, what they say so far.
    Code(u8, u8, u8),
    /// Within quotes (csv).
    Quoted,
    /// Within quotes, behind what may escape the next character.
    QuotedEscape,
    /// In the head of a binary COPY: bytes still to come, the last four.
    Head(usize, u32),
    /// In what extends the head.
    Extension(usize),
    /// In the number of fields of a row: bytes still to come, what they say so far.
    Count(u8, u16),
    /// In the length of a field: bytes still to come, what they say so far, fields behind it.
    Length(u8, u32, u16),
    /// In a field: bytes still to come, fields behind it.
    Field(usize, u16),
    /// Behind the end of a binary COPY, or in what is none.
    Over,
}

impl CopiedBack {
    /// Nothing was read yet.
    #[must_use]
    pub fn new(key: TokenKey, options: CopyOptions) -> Self {
        let at = match options.format {
            CopyFormat::Binary => At::Head(HEADER_BYTES, 0),
            CopyFormat::Text | CopyFormat::Csv => At::Plain,
        };
        Self { key, options, value: Vec::new(), long: false, at, found: None }
    }

    /// Takes the next bytes, and says what was found in them or before.
    pub fn push(&mut self, bytes: &[u8]) -> Option<WrittenBack> {
        match self.options.format {
            CopyFormat::Text => bytes.iter().for_each(|byte| self.text(*byte)),
            CopyFormat::Csv => bytes.iter().for_each(|byte| self.csv(*byte)),
            CopyFormat::Binary => self.binary(bytes),
        }
        self.found
    }

    /// The data is at its end.
    pub fn finish(&mut self) -> Option<WrittenBack> {
        if let At::Code(_, _, code) = self.at {
            self.put(code);
        }
        self.end();
        self.found
    }

    fn put(&mut self, byte: u8) {
        self.value.push(byte);
        if self.value.len() >= VALUE_BYTES_MAX {
            self.look_into_a_piece();
        }
    }

    // Only a token is known within a longer text. A character that is cut at either end is passed over.
    fn look_into_a_piece(&mut self) {
        let text = String::from_utf8_lossy(&self.value);
        if written_back(&self.key, text.as_bytes()) == Some(WrittenBack::Token) {
            self.found = self.found.or(Some(WrittenBack::Token));
        }
        self.long = true;
        let gone = self.value.len().saturating_sub(OVERLAP_BYTES);
        self.value.drain(..gone);
    }

    fn end(&mut self) {
        if self.long {
            self.look_into_a_piece();
        } else if !self.value.is_empty() {
            self.found = self.found.or_else(|| written_back(&self.key, &self.value));
        }
        self.value.clear();
        self.long = false;
    }

    // === text ===

    fn text(&mut self, byte: u8) {
        match self.at {
            At::Escaped => {
                self.at = At::Plain;
                match byte {
                    b'b' => self.put(0x08),
                    b'f' => self.put(0x0c),
                    b'n' => self.put(b'\n'),
                    b'r' => self.put(b'\r'),
                    b't' => self.put(b'\t'),
                    b'v' => self.put(0x0b),
                    b'0'..=b'7' => self.at = At::Code(8, 2, byte - b'0'),
                    b'x' => self.at = At::Code(16, 2, 0),
                    other => self.put(other),
                }
            }
            At::Code(base, left, code) => {
                let digit =
                    char::from(byte).to_digit(u32::from(base)).and_then(|digit| u8::try_from(digit).ok());
                match digit.filter(|_| left > 0) {
                    Some(digit) => {
                        let code = code.wrapping_mul(base).wrapping_add(digit);
                        self.at = At::Code(base, left - 1, code);
                    }
                    None => {
                        // `\x` without digits is an x.
                        self.put(if base == 16 && left == 2 { b'x' } else { code });
                        self.at = At::Plain;
                        self.text(byte);
                    }
                }
            }
            _ if byte == b'\\' => self.at = At::Escaped,
            _ if byte == self.options.delimiter || matches!(byte, b'\n' | b'\r') => self.end(),
            _ => self.put(byte),
        }
    }

    // === csv ===

    fn csv(&mut self, byte: u8) {
        let CopyOptions { quote, escape, delimiter, .. } = self.options;
        match self.at {
            At::QuotedEscape => {
                if byte == quote || byte == escape {
                    self.at = At::Quoted;
                    self.put(byte);
                } else if escape == quote {
                    // It was the end of the quotes.
                    self.at = At::Plain;
                    self.csv(byte);
                } else {
                    self.at = At::Quoted;
                    self.put(escape);
                    self.csv(byte);
                }
            }
            At::Quoted if byte == escape => self.at = At::QuotedEscape,
            At::Quoted if byte == quote => self.at = At::Plain,
            At::Quoted => self.put(byte),
            _ if byte == quote => self.at = At::Quoted,
            _ if byte == delimiter || matches!(byte, b'\n' | b'\r') => self.end(),
            _ => self.put(byte),
        }
    }

    // === binary ===

    fn binary(&mut self, bytes: &[u8]) {
        let mut rest = bytes;
        while let Some((byte, after)) = rest.split_first() {
            match self.at {
                At::Field(left, fields) => {
                    let length = left.min(rest.len()).min(VALUE_BYTES_MAX);
                    let (piece, after) = rest.split_at_checked(length).unwrap_or((rest, &[]));
                    self.value.extend_from_slice(piece);
                    if self.value.len() >= VALUE_BYTES_MAX {
                        self.look_into_a_piece();
                    }
                    rest = after;
                    self.field(left - length, fields);
                    continue;
                }
                At::Extension(left) => {
                    let length = left.min(rest.len());
                    rest = rest.get(length..).unwrap_or_default();
                    self.at = if left == length { At::Count(2, 0) } else { At::Extension(left - length) };
                    continue;
                }
                At::Head(left, last) => {
                    let last = last << 8 | u32::from(*byte);
                    self.at = match (left, usize::try_from(last)) {
                        (1, Ok(0)) => At::Count(2, 0),
                        (1, Ok(extension)) => At::Extension(extension),
                        _ => At::Head(left - 1, last),
                    };
                }
                At::Count(left, count) => {
                    let count = count << 8 | u16::from(*byte);
                    self.at = match (left, count) {
                        (1, 0) => At::Count(2, 0),
                        (1, u16::MAX) => At::Over,
                        (1, fields) => At::Length(4, 0, fields - 1),
                        _ => At::Count(left - 1, count),
                    };
                }
                At::Length(left, length, fields) => {
                    let length = length << 8 | u32::from(*byte);
                    if left > 1 {
                        self.at = At::Length(left - 1, length, fields);
                    } else if length == u32::MAX {
                        self.field(0, fields);
                    } else {
                        self.field(usize::try_from(length).unwrap_or(usize::MAX), fields);
                    }
                }
                At::Plain | At::Escaped | At::Code(..) | At::Quoted | At::QuotedEscape | At::Over => return,
            }
            rest = after;
        }
    }

    // So much is still to come of a field.
    fn field(&mut self, left: usize, fields: u16) {
        self.at = match (left, fields) {
            (0, 0) => At::Count(2, 0),
            (0, fields) => At::Length(4, 0, fields - 1),
            _ => At::Field(left, fields),
        };
        if left == 0 {
            self.end();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::codec::Format;
    use super::super::value::{Masked, WireMask, mask_value};
    use super::*;
    use proptest::prelude::*;

    fn key() -> TokenKey {
        TokenKey::new(&[7; 32])
    }

    fn token() -> String {
        let mask = WireMask::Token { class: "pii.name".into(), domain: "d".into(), key: key() };
        let Masked::Bytes(token) = mask_value(&mask, 25, Format::Text, b"Ada") else { panic!("a token") };
        String::from_utf8(token).unwrap()
    }

    fn options(format: CopyFormat) -> CopyOptions {
        CopyOptions::new(format)
    }

    fn look(options: CopyOptions, data: &[u8], chunk: usize) -> Option<WrittenBack> {
        let mut back = CopiedBack::new(key(), options);
        for piece in data.chunks(chunk) {
            back.push(piece);
        }
        back.finish()
    }

    fn binary(values: &[Option<&[u8]>]) -> Vec<u8> {
        let mut data = [b"PGCOPY\n\xff\r\n\0".as_slice(), &[0; 4], &[0, 0, 0, 3], b"ext"].concat();
        for value in values {
            data.extend([0, 2, 0xff, 0xff, 0xff, 0xff]);
            let length = value.map_or(u32::MAX, |value| u32::try_from(value.len()).unwrap());
            data.extend(length.to_be_bytes());
            data.extend(value.unwrap_or_default());
        }
        data.extend([0xff, 0xff]);
        data
    }

    #[test]
    fn a_mask_is_known_again_in_every_format_however_the_data_is_cut() {
        let token = token();
        let hex: String = token.bytes().map(|byte| format!("\\x{byte:02x}")).collect();
        let octal: String = token.bytes().map(|byte| format!("\\{byte:o}")).collect();
        let long = format!("{}{token}{}", "a".repeat(3 * VALUE_BYTES_MAX - 9), "b".repeat(VALUE_BYTES_MAX));
        let mut semicolons = options(CopyFormat::Csv);
        (semicolons.delimiter, semicolons.quote, semicolons.escape) = (b';', b'\'', b'\\');
        for (options, data) in [
            (options(CopyFormat::Text), format!("1\tx\n2\t{token}\n").into_bytes()),
            (options(CopyFormat::Text), format!("2\tdear {token}").into_bytes()),
            (options(CopyFormat::Text), b"1\t[masked]\r\n".to_vec()),
            (options(CopyFormat::Text), b"1\tj***@example.org\n\\.\n".to_vec()),
            (options(CopyFormat::Text), format!("1\t{hex}\n").into_bytes()),
            (options(CopyFormat::Text), format!("1\t{octal}").into_bytes()),
            (options(CopyFormat::Text), format!("1\t{long}\n").into_bytes()),
            (options(CopyFormat::Csv), format!("1,\"{token}\"\n").into_bytes()),
            (options(CopyFormat::Csv), b"1,\"**\"**\n".to_vec()),
            (options(CopyFormat::Csv), b"1,\"a\"\"b,\n\",[masked]".to_vec()),
            (semicolons, b"1;'it\\'s;';'[masked]'\r\n".to_vec()),
            (options(CopyFormat::Csv), format!("1,\"{long}\"\n").into_bytes()),
            (options(CopyFormat::Binary), binary(&[Some(b"x"), Some(token.as_bytes())])),
            (options(CopyFormat::Binary), binary(&[None, Some(b"[masked]"), Some(b"y")])),
            (options(CopyFormat::Binary), binary(&[Some(long.as_bytes())])),
        ] {
            for chunk in [1, 2, 7, 64, VALUE_BYTES_MAX, data.len()] {
                let shown = String::from_utf8_lossy(&data).chars().take(60).collect::<String>();
                assert!(look(options.clone(), &data, chunk).is_some(), "{chunk}: {shown}");
            }
        }
    }

    #[test]
    fn values_like_any_other_are_none_and_do_not_run_into_each_other() {
        for (format, data) in [
            (CopyFormat::Text, b"1\t***\t*x\n\\N\t[mask\ted]\n[mask\\\ned]\n".to_vec()),
            (CopyFormat::Text, b"a [masked] b\t5 stars ****!\n".to_vec()),
            (CopyFormat::Csv, b"1,***,*x\n\"[mask,ed]\"\n\"\",\"\"\"[masked]\"\n".to_vec()),
            (CopyFormat::Binary, binary(&[Some(b"[mask"), Some(b"ed]"), None, Some(b"")])),
            (CopyFormat::Binary, b"no binary COPY at all, but long enough".to_vec()),
        ] {
            for chunk in [1, 3, data.len()] {
                assert_eq!(look(options(format), &data, chunk), None, "{}", String::from_utf8_lossy(&data));
            }
        }
    }

    #[test]
    fn a_value_without_end_takes_little_memory() {
        for format in [CopyFormat::Text, CopyFormat::Csv] {
            let mut back = CopiedBack::new(key(), options(format));
            for _ in 0..64 {
                back.push(&[b'x'; 64 << 10]);
                assert!(back.value.capacity() <= 4 * VALUE_BYTES_MAX, "{}", back.value.capacity());
            }
            assert_eq!(back.finish(), None);
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_alike_however_they_are_cut(data: Vec<u8>, chunk in 1usize..9, csv: bool) {
            let options = options(if csv { CopyFormat::Csv } else { CopyFormat::Text });
            let whole = look(options.clone(), &data, data.len().max(1));
            prop_assert_eq!(look(options, &data, chunk), whole);
            let _ = look(super::CopyOptions::new(CopyFormat::Binary), &data, chunk);
        }

        #[test]
        fn a_mask_between_any_values_is_found(before in "[^\\\\\t\r\n]*", after in "[^\\\\\t\r\n]*") {
            let data = format!("{before}\t[masked]\t{after}\n");
            prop_assert!(look(options(CopyFormat::Text), data.as_bytes(), 5).is_some());
        }
    }
}
