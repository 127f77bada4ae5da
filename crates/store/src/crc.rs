//! CRC-32C (Castagnoli): tells a torn write from a whole one. It refuses to be taken for a proof against people.

const POLYNOMIAL: u32 = 0x82f6_3b78;

// Table `n` is that of a byte which `n` more bytes follow: eight bytes are taken at once ("slicing by eight", Kounavis
// and Berry 2005).
const TABLES: [[u32; 256]; 8] = tables();

#[expect(
    clippy::indexing_slicing,
    reason = "evaluated by the compiler: the loops end at the arrays' lengths"
)]
const fn tables() -> [[u32; 256]; 8] {
    let mut tables = [[0; 256]; 8];
    let mut at = 0;
    while at < 256 {
        let mut value = at as u32;
        let mut bit = 0;
        while bit < 8 {
            value = if value & 1 == 1 { (value >> 1) ^ POLYNOMIAL } else { value >> 1 };
            bit += 1;
        }
        tables[0][at] = value;
        at += 1;
    }
    let mut table = 1;
    while table < 8 {
        let mut at = 0;
        while at < 256 {
            let before = tables[table - 1][at];
            tables[table][at] = (before >> 8) ^ tables[0][(before & 0xff) as usize];
            at += 1;
        }
        table += 1;
    }
    tables
}

/// The checksum of `bytes`.
pub(crate) fn crc32c(bytes: &[u8]) -> u32 {
    let (eights, rest) = bytes.as_chunks::<8>();
    let crc = eights.iter().fold(!0_u32, |crc, eight| {
        let mixed = u64::from_le_bytes(*eight) ^ u64::from(crc);
        let tables = TABLES.iter().rev();
        tables.zip(mixed.to_le_bytes()).fold(0, |sum, (table, byte)| sum ^ of(table, byte))
    });
    let [first, ..] = &TABLES;
    !rest.iter().fold(crc, |crc, byte| (crc >> 8) ^ of(first, (crc as u8) ^ byte))
}

fn of(table: &[u32; 256], byte: u8) -> u32 {
    table.get(usize::from(byte)).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::crc32c;

    #[test]
    fn the_check_value_is_that_of_the_standard() {
        // RFC 3720 appendix B.4: 32 bytes of zeroes; and the customary check string.
        assert_eq!(crc32c(&[0; 32]), 0x8a91_36aa);
        assert_eq!(crc32c(b"123456789"), 0xe306_9283);
        // The others of RFC 3720 appendix B.4.
        assert_eq!(crc32c(&[0xff; 32]), 0x62a8_ab43);
        assert_eq!(crc32c(&std::array::from_fn::<u8, 32, _>(|at| at as u8)), 0x46dd_794e);
    }
}
