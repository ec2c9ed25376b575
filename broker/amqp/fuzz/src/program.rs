//! Owns [`Program`]: numbers and instructions read off the bytes of a case.

/// The bytes of a case that have not been used. When they are used up, every number is 0 and there is no instruction.
#[derive(Debug)]
pub(crate) struct Program<'d> {
    data: &'d [u8],
}

impl<'d> Program<'d> {
    pub(crate) fn new(data: &'d [u8]) -> Self {
        Self { data }
    }

    pub(crate) fn next_instruction(&mut self) -> Option<u8> {
        let (first, rest) = self.data.split_first()?;
        self.data = rest;
        Some(*first)
    }

    pub(crate) fn byte(&mut self) -> u8 {
        self.next_instruction().unwrap_or(0)
    }

    /// A number that is mostly small and sometimes near one of the ends of its range.
    pub(crate) fn number(&mut self) -> u32 {
        match self.byte() {
            small @ 0..200 => u32::from(small % 16),
            near @ 200..240 => u32::MAX - u32::from(near - 200),
            _ => u32::from_be_bytes([self.byte(), self.byte(), self.byte(), self.byte()]),
        }
    }

    pub(crate) fn flag(&mut self) -> bool {
        self.byte() & 1 == 1
    }

    /// Up to 255 bytes of the case as they are.
    pub(crate) fn raw(&mut self) -> &'d [u8] {
        let length = usize::from(self.byte()).min(self.data.len());
        let (raw, rest) = self.data.split_at(length);
        self.data = rest;
        raw
    }
}
