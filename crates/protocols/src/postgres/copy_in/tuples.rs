//! Rows of a binary COPY, counted by their own lengths. Knows no value.

/// How a binary COPY begins.
const SIGNATURE: &[u8] = b"PGCOPY\n\xff\r\n\0";

/// How many rows there are in the data of a binary COPY; none where it is not well formed. Without the word that ends
/// it the server takes what there is too.
pub fn count_tuples(bytes: &[u8]) -> Option<u64> {
    let mut rest = bytes.strip_prefix(SIGNATURE)?;
    let _flags = word(&mut rest)?;
    let extension = usize::try_from(word(&mut rest)?).ok()?;
    skip(&mut rest, extension)?;
    let mut tuples = 0;
    while !rest.is_empty() {
        let (head, after) = rest.split_first_chunk::<2>()?;
        rest = after;
        let fields = i16::from_be_bytes(*head);
        if fields == -1 {
            // Nothing may follow the end.
            return rest.is_empty().then_some(tuples);
        }
        for _ in 0..u16::try_from(fields).ok()? {
            let length = word(&mut rest)?;
            if length != -1 {
                skip(&mut rest, usize::try_from(length).ok()?)?;
            }
        }
        tuples += 1;
    }
    Some(tuples)
}

fn word(rest: &mut &[u8]) -> Option<i32> {
    let (head, after) = rest.split_first_chunk::<4>()?;
    *rest = after;
    Some(i32::from_be_bytes(*head))
}

fn skip(rest: &mut &[u8], bytes: usize) -> Option<()> {
    *rest = rest.get(bytes..)?;
    Some(())
}
