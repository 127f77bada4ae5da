//! Masks of DataRow messages. Knows the columns as the server described them for this very result.

use bytes::{BufMut, BytesMut};

use super::super::codec::backend::DataRow;
use super::super::codec::write::{frame, put_value};
use super::super::codec::{Format, HEADER_BYTES};
use super::MaskError;
use super::value::{Masked, WireMask, mask_value};

/// Masks the rows of one result.
#[derive(Debug, Clone)]
pub struct RowMasker {
    columns: Vec<(WireMask, u32, Format)>,
    clear: bool,
}

impl RowMasker {
    /// A masker for rows of these columns: mask, OID of the type, format.
    #[must_use]
    pub fn new(columns: Vec<(WireMask, u32, Format)>) -> Self {
        let clear = columns.iter().all(|(mask, ..)| mask.is_clear());
        Self { columns, clear }
    }

    /// Whether no column is masked, so that rows may be passed on without being looked at.
    #[must_use]
    pub const fn is_clear(&self) -> bool {
        self.clear
    }

    /// The masked form of one whole DataRow message.
    ///
    /// # Errors
    /// When the frame is not exactly one row of the described columns.
    pub fn mask_data_row(&self, row: &[u8]) -> Result<BytesMut, MaskError> {
        let mut out = BytesMut::with_capacity(row.len());
        self.mask_into(row, &mut out)?;
        Ok(out)
    }

    /// As [`Self::mask_data_row`], at the end of `out`; after an error `out` is as it was before.
    ///
    /// # Errors
    /// As [`Self::mask_data_row`].
    pub fn mask_into(&self, row: &[u8], out: &mut BytesMut) -> Result<(), MaskError> {
        let before = out.len();
        let masked = self.mask_row(row, out);
        if masked.is_err() {
            out.truncate(before);
        }
        masked
    }

    fn mask_row(&self, row: &[u8], out: &mut BytesMut) -> Result<(), MaskError> {
        let values = DataRow::parse(body_of_row(row)?)?;
        if values.len() != self.columns.len() {
            return Err(MaskError::ColumnCount { expected: self.columns.len(), found: values.len() });
        }
        out.reserve(row.len());
        let mut walked = Ok(());
        frame(out, b'D', |out| {
            out.put_u16(u16::try_from(values.len()).unwrap_or(u16::MAX));
            walked = self.mask_values(values, out);
        });
        walked
    }

    fn mask_values(&self, values: DataRow<'_>, out: &mut BytesMut) -> Result<(), MaskError> {
        let mut columns = self.columns.iter();
        // Walks to the row's end even after the last column: what is left over there is an error.
        for value in values.columns() {
            let value = value?;
            let Some((mask, type_oid, format)) = columns.next() else { return Err(MaskError::NotARow) };
            let Some(bytes) = value else {
                put_value(out, None);
                continue;
            };
            match mask_value(mask, *type_oid, *format, bytes) {
                Masked::Keep => put_value(out, Some(bytes)),
                Masked::Null => put_value(out, None),
                Masked::Bytes(bytes) => put_value(out, Some(&bytes)),
            }
        }
        Ok(())
    }
}

fn body_of_row(row: &[u8]) -> Result<&[u8], MaskError> {
    let Some(([b'D', length @ ..], body)) = row.split_first_chunk::<HEADER_BYTES>() else {
        return Err(MaskError::NotARow);
    };
    let length = usize::try_from(u32::from_be_bytes(*length)).ok();
    if length.and_then(|length| length.checked_sub(4)) != Some(body.len()) {
        return Err(MaskError::NotARow);
    }
    Ok(body)
}

#[cfg(test)]
mod tests {
    use countersign_core::mask::Bucket;
    use proptest::prelude::*;

    use super::super::super::codec::write;
    use super::super::{PartialStyle, TokenKey};
    use super::*;

    const SECRET: &[u8] = b"jane.doe@example.org";

    fn row(values: &[Option<&[u8]>]) -> BytesMut {
        let mut out = BytesMut::new();
        write::data_row(&mut out, values).unwrap();
        out
    }

    fn masks() -> Vec<WireMask> {
        let key = TokenKey::new(&[7; 32]);
        vec![
            WireMask::Null,
            WireMask::Token { class: "pii.email".into(), domain: "d".into(), key },
            WireMask::Partial { style: PartialStyle::Auto },
            WireMask::Fixed,
            WireMask::Bucket(Bucket::Year),
            WireMask::Bucket(Bucket::Width(10)),
        ]
    }

    fn columns(masker: &RowMasker, frame: &[u8]) -> Vec<Option<Vec<u8>>> {
        let out = masker.mask_data_row(frame).unwrap();
        let row = DataRow::parse(body_of_row(&out).unwrap()).unwrap();
        row.columns().map(|value| value.unwrap().map(<[u8]>::to_vec)).collect()
    }

    fn holds(bytes: &[u8], value: &[u8]) -> bool {
        bytes.windows(value.len()).any(|window| window == value)
    }

    #[test]
    fn a_masked_value_never_leaves_in_any_type_or_format() {
        let frame = row(&[Some(b"1"), Some(SECRET)]);
        for mask in masks() {
            for oid in [25, 1043, 1042, 19, 114, 23, 1700, 2950, 17, 3802, 1009, 0, 99_999] {
                for format in [Format::Text, Format::Binary] {
                    let columns = vec![(WireMask::Clear, 23, format), (mask.clone(), oid, format)];
                    let out = RowMasker::new(columns).mask_data_row(&frame).unwrap();
                    assert!(!holds(&out, SECRET), "{mask:?} {oid} {format:?}");
                    assert!(holds(&out, b"1"));
                }
            }
        }
    }

    #[test]
    fn clear_columns_and_nulls_pass_unchanged() {
        let [null, token, ..] = &masks()[..] else { panic!("some masks") };
        let masker = RowMasker::new(vec![
            (WireMask::Clear, 17, Format::Binary),
            (null.clone(), 25, Format::Text),
            (token.clone(), 25, Format::Text),
            (token.clone(), 25, Format::Binary),
        ]);
        let values = columns(&masker, &row(&[Some(b"\0\xff"), Some(SECRET), None, Some(SECRET)]));
        assert_eq!(&values[..3], &[Some(b"\0\xff".to_vec()), None, None]);
        assert!(values[3].as_ref().is_some_and(|token| token.starts_with(b"tok_pii_email_")));
    }

    #[test]
    fn a_malformed_row_is_an_error_and_leaves_nothing_behind() {
        let masker = RowMasker::new(vec![(masks()[0].clone(), 25, Format::Text); 2]);
        let good = row(&[Some(b"x"), Some(SECRET)]);
        let mut out = BytesMut::from(&b"before"[..]);
        for end in 0..good.len() {
            assert!(masker.mask_into(&good[..end], &mut out).is_err(), "{end}");
        }
        let mut wrong = vec![row(&[Some(SECRET)]), row(&[Some(SECRET); 3]), BytesMut::from(&good[..])];
        wrong[2].put_u8(0);
        // A row whose length is right and whose last value is shorter than announced.
        let mut short = BytesMut::from(&good[..]);
        short.put_u8(0);
        let length = u32::try_from(short.len() - 1).unwrap();
        short[1..5].copy_from_slice(&length.to_be_bytes());
        wrong.push(short);
        let mut other = good.clone();
        other[0] = b'd';
        wrong.push(other);
        for frame in wrong {
            assert!(masker.mask_into(&frame, &mut out).is_err());
        }
        assert_eq!(&out[..], b"before");
        assert!(masker.mask_into(&good, &mut out).is_ok());
    }

    proptest! {
        #[test]
        fn random_rows_never_panic_and_never_leak(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            let masker = RowMasker::new(vec![(WireMask::Null, 25, Format::Text); 2]);
            let mut frame = BytesMut::new();
            write::frame(&mut frame, b'D', |out| out.put_slice(&bytes));
            if let Ok(out) = masker.mask_data_row(&frame) {
                prop_assert_eq!(&out[..], b"D\0\0\0\x0e\0\x02\xff\xff\xff\xff\xff\xff\xff\xff");
            }
            let _ = masker.mask_data_row(&bytes);
        }
    }
}
