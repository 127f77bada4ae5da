//! A bounded reader over the body of one message. Knows the wire's integers and strings, no message.

use super::CodecError;

/// Reads a body from front to back; whatever is missing or left over is an error.
#[derive(Clone, Copy)]
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
    message: &'static str,
}

impl<'a> Reader<'a> {
    pub(crate) const fn new(message: &'static str, body: &'a [u8]) -> Self {
        Self { rest: body, message }
    }

    pub(crate) const fn malformed(&self, expected: &'static str) -> CodecError {
        CodecError::Malformed { message: self.message, expected }
    }

    pub(crate) const fn remaining(&self) -> usize {
        self.rest.len()
    }

    fn array<const N: usize>(&mut self, expected: &'static str) -> Result<[u8; N], CodecError> {
        let Some((head, rest)) = self.rest.split_first_chunk::<N>() else {
            return Err(self.malformed(expected));
        };
        self.rest = rest;
        Ok(*head)
    }

    pub(crate) fn u8(&mut self) -> Result<u8, CodecError> {
        self.array::<1>("one more byte").map(u8::from_be_bytes)
    }

    pub(crate) fn u16(&mut self) -> Result<u16, CodecError> {
        self.array("a 16-bit integer").map(u16::from_be_bytes)
    }

    pub(crate) fn i16(&mut self) -> Result<i16, CodecError> {
        self.array("a 16-bit integer").map(i16::from_be_bytes)
    }

    pub(crate) fn u32(&mut self) -> Result<u32, CodecError> {
        self.array("a 32-bit integer").map(u32::from_be_bytes)
    }

    pub(crate) fn i32(&mut self) -> Result<i32, CodecError> {
        self.array("a 32-bit integer").map(i32::from_be_bytes)
    }

    pub(crate) fn bytes(&mut self, length: usize) -> Result<&'a [u8], CodecError> {
        let Some((head, rest)) = self.rest.split_at_checked(length) else {
            return Err(self.malformed("as many bytes as announced"));
        };
        self.rest = rest;
        Ok(head)
    }

    /// A count of items of which each takes at least `item_bytes`: never more than the body can hold, so
    /// that a count alone cannot make us allocate.
    pub(crate) fn count(&mut self, item_bytes: usize) -> Result<usize, CodecError> {
        let count = usize::from(self.u16()?);
        if count.saturating_mul(item_bytes) > self.rest.len() {
            return Err(self.malformed("as many items as announced"));
        }
        Ok(count)
    }

    /// A value with its 32-bit length before it; -1 is NULL.
    pub(crate) fn value(&mut self) -> Result<Option<&'a [u8]>, CodecError> {
        match self.i32()? {
            -1 => Ok(None),
            length => {
                let length = usize::try_from(length).map_err(|_| self.malformed("a length of -1 or more"))?;
                self.bytes(length).map(Some)
            }
        }
    }

    /// Bytes up to a zero byte, which is taken too.
    pub(crate) fn cstr(&mut self) -> Result<&'a [u8], CodecError> {
        let end = self.rest.iter().position(|byte| *byte == 0);
        let Some((head, [_, rest @ ..])) = end.and_then(|end| self.rest.split_at_checked(end)) else {
            return Err(self.malformed("text ended by a zero byte"));
        };
        self.rest = rest;
        Ok(head)
    }

    /// Like [`Self::cstr`], as UTF-8.
    pub(crate) fn text(&mut self) -> Result<&'a str, CodecError> {
        let bytes = self.cstr()?;
        std::str::from_utf8(bytes).map_err(|_| CodecError::NotUtf8 { message: self.message })
    }

    /// All that is left.
    pub(crate) const fn take_rest(&mut self) -> &'a [u8] {
        let rest = self.rest;
        self.rest = &[];
        rest
    }

    /// Nothing may be left over: bytes that we do not read are bytes that nobody judged.
    pub(crate) const fn finish(self) -> Result<(), CodecError> {
        if self.rest.is_empty() { Ok(()) } else { Err(self.malformed("the end of the message")) }
    }
}
