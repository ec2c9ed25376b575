//! Owns [`Framer`]: cuts the input into protocol headers and frames, in place where a frame lies whole in the input.
//! Does not look at what frames contain.

use alloc::vec::Vec;

/// The smallest frame: its header.
const FRAME_SIZE_MIN: u32 = 8;

/// Frame types (core specification 2.3.1 and 5.3.1).
pub(super) const FRAME_TYPE_AMQP: u8 = 0;
pub(super) const FRAME_TYPE_SASL: u8 = 1;

/// The input cannot be cut into frames; there is no way to go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum FramingError {
    #[error("a frame of {size} bytes is smaller than its header")]
    TooSmall { size: u32 },
    #[error("a frame of {size} bytes exceeds the limit of {size_max}")]
    TooLarge { size: u32, size_max: u32 },
    #[error("data offset {0} lies outside of the frame")]
    DataOffset(u8),
    #[error("unknown frame type {0}")]
    Type(u8),
}

/// What to cut off the input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unit {
    /// A protocol header of 8 bytes.
    Header,
    /// A frame of at most this many bytes.
    Frame { size_max: u32 },
}

/// Where a unit lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Located<'i> {
    /// Whole in the input.
    Input(&'i [u8]),
    /// Joined in the stash: see [`Framer::stashed`]. Valid until the next call of [`Framer::next`].
    Stash,
}

/// Cuts the input. Keeps at most one incomplete frame, or what was held back while the application decides.
#[derive(Debug, Default)]
pub(super) struct Framer {
    stash: Vec<u8>,
    /// Where the next unit starts in the stash; what lies before was handed out.
    start: usize,
    /// Length of the unit at `start` that is being looked at; 0 = none.
    current: usize,
}

impl Framer {
    /// Takes the next unit off the input. None: it is not complete, and the input was taken whole.
    pub(super) fn next<'i>(&mut self, unit: Unit, input: &mut &'i [u8]) -> Result<Option<Located<'i>>, FramingError> {
        self.drop_current();
        if !self.stash.is_empty() {
            return Ok(self.next_stashed(unit, input)?.then_some(Located::Stash));
        }
        match unit_size(unit, input)? {
            Some(size) if size <= input.len() => {
                let (whole, rest) = input.split_at(size);
                *input = rest;
                Ok(Some(Located::Input(whole)))
            }
            _ => {
                self.stash.extend_from_slice(input);
                *input = &[];
                Ok(None)
            }
        }
    }

    /// The unit that `next` reported as stashed.
    pub(super) fn stashed(&self) -> &[u8] {
        &self.stash[self.start..self.start + self.current]
    }

    /// Keeps all input for later.
    pub(super) fn hold(&mut self, input: &mut &[u8]) {
        self.drop_current();
        self.stash.extend_from_slice(input);
        *input = &[];
    }

    /// Bytes kept.
    pub(super) fn held_bytes(&self) -> usize {
        self.stash.len() - self.start - self.current
    }

    fn next_stashed(&mut self, unit: Unit, input: &mut &[u8]) -> Result<bool, FramingError> {
        self.fill(FRAME_SIZE_MIN as usize, input);
        match unit_size(unit, &self.stash[self.start..])? {
            Some(size) if self.fill(size, input) => {
                self.current = size;
                Ok(true)
            }
            _ => Ok(false),
        }
    }

    /// Moves input to the stash until it holds `size` bytes. False: there is not enough, and the input is used up.
    fn fill(&mut self, size: usize, input: &mut &[u8]) -> bool {
        let missing = size.saturating_sub(self.stash.len() - self.start);
        if missing > 0 && self.start > 0 {
            self.stash.drain(..self.start);
            self.start = 0;
        }
        let (taken, rest) = input.split_at(missing.min(input.len()));
        self.stash.extend_from_slice(taken);
        *input = rest;
        taken.len() == missing
    }

    fn drop_current(&mut self) {
        self.start += self.current;
        self.current = 0;
        if self.start == self.stash.len() {
            self.stash.clear();
            self.start = 0;
        }
    }
}

/// The size of the unit at the front of `bytes`, as far as they tell. Checked before anything is kept for it.
#[inline]
fn unit_size(unit: Unit, bytes: &[u8]) -> Result<Option<usize>, FramingError> {
    let Unit::Frame { size_max } = unit else { return Ok(Some(FRAME_SIZE_MIN as usize)) };
    let Some(prefix) = bytes.first_chunk() else { return Ok(None) };
    let size = u32::from_be_bytes(*prefix);
    if size < FRAME_SIZE_MIN {
        return Err(FramingError::TooSmall { size });
    }
    if size > size_max {
        return Err(FramingError::TooLarge { size, size_max });
    }
    Ok(Some(size as usize))
}

/// A frame taken apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Frame<'f> {
    pub(super) kind: u8,
    pub(super) channel: u16,
    /// Performative and payload; empty: a heartbeat.
    pub(super) body: &'f [u8],
}

impl<'f> Frame<'f> {
    /// Takes a whole frame apart, passing over an extended header.
    #[inline]
    pub(super) fn parse(bytes: &'f [u8]) -> Result<Self, FramingError> {
        let Some(&[_, _, _, _, offset, kind, high, low]) = bytes.first_chunk() else {
            return Err(FramingError::TooSmall { size: 0 });
        };
        if kind > FRAME_TYPE_SASL {
            return Err(FramingError::Type(kind));
        }
        let start = usize::from(offset) * 4;
        if start < FRAME_SIZE_MIN as usize {
            return Err(FramingError::DataOffset(offset));
        }
        let body = bytes.get(start..).ok_or(FramingError::DataOffset(offset))?;
        Ok(Self { kind, channel: u16::from_be_bytes([high, low]), body })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Unit = Unit::Frame { size_max: 64 };

    fn frame(body: &[u8]) -> Vec<u8> {
        let size = 8 + u32::try_from(body.len()).unwrap();
        [&size.to_be_bytes(), &[2, 0, 0, 7][..], body].concat()
    }

    fn collect(framer: &mut Framer, mut input: &[u8]) -> Vec<Vec<u8>> {
        let mut units = Vec::new();
        while let Some(located) = framer.next(LIMIT, &mut input).unwrap() {
            units.push(match located {
                Located::Input(bytes) => bytes.to_vec(),
                Located::Stash => framer.stashed().to_vec(),
            });
        }
        assert!(input.is_empty());
        units
    }

    #[test]
    fn frames_come_out_whole_however_the_input_is_cut() {
        let frames = [frame(b""), frame(b"abc"), frame(&[9; 56])];
        let stream = frames.concat();
        for piece in 1..=stream.len() {
            let mut framer = Framer::default();
            let seen: Vec<Vec<u8>> = stream.chunks(piece).flat_map(|chunk| collect(&mut framer, chunk)).collect();
            assert_eq!(seen, frames, "pieces of {piece} bytes");
            assert_eq!(framer.held_bytes(), 0);
        }
    }

    #[test]
    fn a_whole_frame_is_not_copied() {
        let stream = [frame(b"abc"), frame(b"d")].concat();
        let mut input = stream.as_slice();
        let located = Framer::default().next(LIMIT, &mut input).unwrap();
        assert_eq!(located, Some(Located::Input(&stream[..11])));
    }

    #[test]
    fn held_input_is_cut_later() {
        let stream = [frame(b"abc"), frame(b"de"), frame(b"f")].concat();
        let mut framer = Framer::default();
        framer.hold(&mut &stream[..25]);
        assert_eq!(framer.held_bytes(), 25);
        let seen = collect(&mut framer, &stream[25..]);
        assert_eq!(seen.concat(), stream);
    }

    #[test]
    fn sizes_are_refused_before_anything_is_kept() {
        for (prefix, error) in [
            ([0, 0, 0, 7], FramingError::TooSmall { size: 7 }),
            ([0, 0, 0, 65], FramingError::TooLarge { size: 65, size_max: 64 }),
            ([255; 4], FramingError::TooLarge { size: u32::MAX, size_max: 64 }),
        ] {
            let mut framer = Framer::default();
            assert_eq!(framer.next(LIMIT, &mut &prefix[..]), Err(error));
            assert_eq!(framer.stash.capacity(), 0);
        }
    }

    #[test]
    fn bad_frame_headers_are_refused() {
        let parse =
            |offset: u8, kind: u8| Frame::parse(&[0, 0, 0, 12, offset, kind, 0, 1, 1, 2, 3, 4]).map(|f| f.body.len());
        assert_eq!(parse(2, 0), Ok(4));
        assert_eq!(parse(3, 1), Ok(0));
        assert_eq!(parse(4, 0), Err(FramingError::DataOffset(4)));
        assert_eq!(parse(1, 0), Err(FramingError::DataOffset(1)));
        assert_eq!(parse(2, 2), Err(FramingError::Type(2)));
    }
}
