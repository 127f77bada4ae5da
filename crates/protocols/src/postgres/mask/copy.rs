//! Masks of COPY … TO STDOUT, streaming: one row in memory at a time, split at any byte on the way in, one
//! CopyData message a row on the way out (the header of the binary format goes with what follows it, as the server sends
//! it). Everything that the server would not write is an error.
//!
//! Spec: PostgreSQL documentation, "COPY", section "File Formats". The text is UTF-8, since the gate pins
//! `client_encoding`: no byte of a longer character looks like a delimiter.

use bytes::{Buf, BufMut, BytesMut};

use super::super::codec::Format;
use super::super::codec::write::frame;
use super::copy_binary::{HEADER, Piece, TRAILER};
use super::value::{Masked, WireMask, mask_value};
use super::{MaskError, copy_binary, copy_csv, copy_text};

/// Longest row of a COPY that can be masked.
pub const ROW_BYTES_MAX: usize = 16 << 20;
/// How much of a chunk is looked at in one go, so that a long chunk is not held twice.
const PIECE_BYTES: usize = 64 << 10;

/// How a COPY writes its rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CopyFormat {
    /// `FORMAT text`.
    Text,
    /// `FORMAT csv`.
    Csv,
    /// `FORMAT binary`.
    Binary,
}

/// The options of a COPY, as its statement names them or by default.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CopyOptions {
    /// FORMAT.
    pub format: CopyFormat,
    /// DELIMITER.
    pub delimiter: u8,
    /// NULL.
    pub null: Vec<u8>,
    /// QUOTE (csv only).
    pub quote: u8,
    /// ESCAPE (csv only).
    pub escape: u8,
    /// HEADER: the names that the first line must hold. A first line with other names is an error, since
    /// it might be a row.
    pub header: Option<Vec<String>>,
    /// ENCODING: in others than UTF-8 a byte of a character may look like a delimiter.
    pub encoding: Option<String>,
}

impl CopyOptions {
    /// The defaults of a format.
    #[must_use]
    pub fn new(format: CopyFormat) -> Self {
        let (delimiter, null) = match format {
            CopyFormat::Csv => (b',', Vec::new()),
            CopyFormat::Text | CopyFormat::Binary => (b'\t', b"\\N".to_vec()),
        };
        Self { format, delimiter, null, quote: b'"', escape: b'"', header: None, encoding: None }
    }

    fn check(&self) -> Result<(), MaskError> {
        let wrong = |found, hint| Err(MaskError::CopyOptions { found, hint });
        let plain = |byte: u8| byte.is_ascii() && !matches!(byte, 0 | b'\r' | b'\n');
        let utf8 = |name: &String| name.eq_ignore_ascii_case("utf8") || name.eq_ignore_ascii_case("utf-8");
        if !self.encoding.as_ref().is_none_or(utf8) {
            return wrong("an ENCODING other than UTF8", "leave ENCODING out");
        }
        match self.format {
            CopyFormat::Text
                if !plain(self.delimiter)
                    || matches!(self.delimiter, b'\\' | b'.' | b'a'..=b'z' | b'0'..=b'9') =>
            {
                wrong("a DELIMITER that text does not allow", "use a tab")
            }
            // Any other string could be a value too, and would pass as if it were NULL: a guess at a
            // masked value, answered.
            CopyFormat::Text if self.null != b"\\N" && !self.null.is_empty() => {
                wrong("a NULL string that could be a value", r"use NULL '\N' or FORMAT csv")
            }
            CopyFormat::Csv
                if ![self.delimiter, self.quote, self.escape].into_iter().all(plain)
                    || self.delimiter == self.quote
                    || self.null.iter().any(|byte| {
                        *byte == self.delimiter || *byte == self.quote || matches!(byte, b'\r' | b'\n')
                    }) =>
            {
                wrong("a DELIMITER, QUOTE, ESCAPE or NULL that csv does not allow", "use the defaults")
            }
            CopyFormat::Text | CopyFormat::Csv | CopyFormat::Binary => Ok(()),
        }
    }
}

/// One field of a row.
pub(super) struct CopyField<'a> {
    /// As it stands in the row, quotes included.
    pub(super) raw: &'a [u8],
    /// Whether it is quoted (csv only).
    pub(super) quoted: bool,
}

/// Masks the rows of one COPY.
#[derive(Debug)]
pub struct CopyMasker {
    columns: Vec<(WireMask, u32)>,
    options: CopyOptions,
    clear: bool,
    /// Invariant: the start of one row, without its end; at most `row_bytes_max` and a piece long.
    buffer: BytesMut,
    scan: RowScan,
    row_bytes_max: usize,
    /// A header is expected; in binary format, or it waits for what follows it.
    header_due: bool,
    header_kept: bool,
    /// The trailer of the binary format has come.
    over: bool,
    poisoned: bool,
}

/// How far `buffer` was searched for the end of its row.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct RowScan {
    pub(super) scanned: usize,
    pub(super) in_quotes: bool,
    pub(super) escaped: bool,
    /// Whole fields (binary only).
    pub(super) fields: usize,
}

impl CopyMasker {
    /// A masker for rows of these columns: mask and OID of the type.
    ///
    /// # Errors
    /// When a column is masked and the options cannot be masked soundly.
    pub fn new(columns: Vec<(WireMask, u32)>, options: CopyOptions) -> Result<Self, MaskError> {
        let clear = columns.iter().all(|(mask, _)| mask.is_clear());
        if !clear {
            options.check()?;
        }
        Ok(Self {
            columns,
            clear,
            buffer: BytesMut::new(),
            scan: RowScan::default(),
            row_bytes_max: ROW_BYTES_MAX,
            header_due: options.header.is_some() || options.format == CopyFormat::Binary,
            header_kept: false,
            over: false,
            options,
            poisoned: false,
        })
    }

    /// The same masker with another limit for a row.
    #[must_use]
    pub const fn with_row_bytes_max(mut self, row_bytes_max: usize) -> Self {
        self.row_bytes_max = row_bytes_max;
        self
    }

    /// Whether no column is masked, so that everything may be passed on without being looked at.
    #[must_use]
    pub const fn is_clear(&self) -> bool {
        self.clear
    }

    /// Takes the body of one CopyData message and writes CopyData messages for the rows that it ends.
    /// Returns how many rows that were (not counted where nothing is masked).
    ///
    /// # Errors
    /// When a row cannot be masked. Nothing of this chunk is written then, and nothing ever after.
    pub fn push(&mut self, chunk: &[u8], out: &mut BytesMut) -> Result<u64, MaskError> {
        if self.poisoned {
            return Err(MaskError::Poisoned);
        }
        if self.clear {
            frame(out, b'd', |out| out.put_slice(chunk));
            return Ok(0);
        }
        let before = out.len();
        let pushed = self.push_pieces(chunk, out);
        if pushed.is_err() {
            self.poisoned = true;
            out.truncate(before);
        }
        pushed
    }

    /// To be called at CopyDone.
    ///
    /// # Errors
    /// When the COPY ended within a row, or a row could not be masked.
    pub fn finish(&mut self) -> Result<(), MaskError> {
        if self.poisoned {
            return Err(MaskError::Poisoned);
        }
        self.poisoned = true;
        match self.buffer.len() {
            0 if self.options.format == CopyFormat::Binary && !self.over => {
                Err(MaskError::CopyRow { expected: "the trailer" })
            }
            0 => Ok(()),
            left => Err(MaskError::CopyCut { left }),
        }
    }

    fn push_pieces(&mut self, chunk: &[u8], out: &mut BytesMut) -> Result<u64, MaskError> {
        let mut rows = 0;
        for piece in chunk.chunks(PIECE_BYTES) {
            self.buffer.extend_from_slice(piece);
            if self.options.format == CopyFormat::Binary {
                rows += self.push_binary(out)?;
                continue;
            }
            while let Some(end) = self.row_end() {
                let row = self.buffer.split_to(end + 1);
                self.scan = RowScan::default();
                if row.len() > self.row_bytes_max {
                    return Err(MaskError::RowTooLong { limit: self.row_bytes_max });
                }
                rows += self.put_row(row.get(..end).unwrap_or_default(), out)?;
            }
            if self.buffer.len() > self.row_bytes_max {
                return Err(MaskError::RowTooLong { limit: self.row_bytes_max });
            }
        }
        Ok(rows)
    }

    fn push_binary(&mut self, out: &mut BytesMut) -> Result<u64, MaskError> {
        let mut rows = 0;
        while !self.buffer.is_empty() {
            if self.over {
                return Err(MaskError::CopyRow { expected: "nothing behind the trailer" });
            }
            let (scan, columns) = (&mut self.scan, self.columns.len());
            let front = copy_binary::piece(&self.buffer, scan, self.header_due, columns, self.row_bytes_max)?;
            let Some(front) = front else { break };
            self.scan = RowScan::default();
            if front == Piece::Header {
                self.buffer.advance(HEADER.len());
                self.header_due = false;
                self.header_kept = true;
                continue;
            }
            let header: &[u8] = if std::mem::take(&mut self.header_kept) { HEADER } else { &[] };
            let mut masked = Ok(());
            frame(out, b'd', |out| {
                out.put_slice(header);
                match front {
                    Piece::Row(length) => {
                        let row = self.buffer.split_to(length);
                        masked = copy_binary::put_row(&row, &self.columns, out);
                        rows += 1;
                    }
                    Piece::Header | Piece::Trailer => {
                        self.buffer.advance(TRAILER.len());
                        self.over = true;
                        out.put_slice(&TRAILER);
                    }
                }
            });
            masked?;
        }
        Ok(rows)
    }

    fn row_end(&mut self) -> Option<usize> {
        match self.options.format {
            CopyFormat::Csv => copy_csv::row_end(&self.buffer, &mut self.scan, &self.options),
            CopyFormat::Text | CopyFormat::Binary => copy_text::row_end(&self.buffer, &mut self.scan),
        }
    }

    fn put_row(&mut self, row: &[u8], out: &mut BytesMut) -> Result<u64, MaskError> {
        let fields = match self.options.format {
            CopyFormat::Csv => copy_csv::split(row, &self.options)?,
            CopyFormat::Text | CopyFormat::Binary => copy_text::split(row, self.options.delimiter)?,
        };
        if fields.len() != self.columns.len() {
            return Err(MaskError::ColumnCount { expected: self.columns.len(), found: fields.len() });
        }
        if self.header_due {
            self.check_header(&fields)?;
            self.header_due = false;
            frame(out, b'd', |out| {
                out.put_slice(row);
                out.put_u8(b'\n');
            });
            return Ok(0);
        }
        let mut masked = Ok(());
        frame(out, b'd', |out| {
            masked = self.put_fields(&fields, out);
            out.put_u8(b'\n');
        });
        masked.map(|()| 1)
    }

    fn check_header(&self, fields: &[CopyField<'_>]) -> Result<(), MaskError> {
        let names = self.options.header.as_deref().unwrap_or_default();
        if names.len() != fields.len() {
            return Err(MaskError::CopyHeader);
        }
        for (field, name) in fields.iter().zip(names) {
            if self.decode(field)? != name.as_bytes() {
                return Err(MaskError::CopyHeader);
            }
        }
        Ok(())
    }

    fn put_fields(&self, fields: &[CopyField<'_>], out: &mut BytesMut) -> Result<(), MaskError> {
        let mut between = false;
        for (field, (mask, type_oid)) in fields.iter().zip(&self.columns) {
            if std::mem::replace(&mut between, true) {
                out.put_u8(self.options.delimiter);
            }
            if mask.is_clear() || (!field.quoted && field.raw == self.options.null) {
                out.put_slice(field.raw);
                continue;
            }
            let value = self.decode(field)?;
            match mask_value(mask, *type_oid, Format::Text, &value) {
                Masked::Keep => out.put_slice(field.raw),
                Masked::Null => out.put_slice(&self.options.null),
                Masked::Bytes(text) => self.encode(&text, out),
            }
        }
        Ok(())
    }

    fn decode(&self, field: &CopyField<'_>) -> Result<Vec<u8>, MaskError> {
        match self.options.format {
            CopyFormat::Csv => copy_csv::decode(field, &self.options),
            CopyFormat::Text | CopyFormat::Binary => copy_text::decode(field.raw, self.options.delimiter),
        }
    }

    fn encode(&self, text: &[u8], out: &mut BytesMut) {
        match self.options.format {
            CopyFormat::Csv => copy_csv::encode(text, &self.options, out),
            CopyFormat::Text | CopyFormat::Binary => copy_text::encode(text, self.options.delimiter, out),
        }
    }
}

#[cfg(test)]
#[path = "copy_tests.rs"]
mod tests;
