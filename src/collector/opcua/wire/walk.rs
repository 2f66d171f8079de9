//! Reading the binary encoding of OPC UA (OPC 10000-6, 5.2) field by field, from the bytes of a message to the bytes of a clean one.

use std::borrow::Cow;

/// Nested variants, values and diagnostics beyond this are no data of a plant.
const DEPTH_MAX: usize = 64;

/// The bytes do not follow the encoding; where the next field begins is not known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MalformedMessage(pub &'static str);

pub type WalkResult<T> = Result<T, MalformedMessage>;

/// Position in the input, and what was written so far.
pub struct MessageWalk<'a> {
    input: &'a [u8],
    at: usize,
    depth: usize,
    pub out: Vec<u8>,
}

/// What a text field holds.
pub struct Text<'a> {
    /// Bytes in the message.
    pub bytes: usize,
    pub text: Cow<'a, str>,
}

impl<'a> MessageWalk<'a> {
    pub fn new(input: &'a [u8]) -> MessageWalk<'a> {
        MessageWalk { input, at: 0, depth: 0, out: Vec::with_capacity(input.len() + 64) }
    }

    /// A walk that only reads.
    pub fn reader(input: &'a [u8]) -> MessageWalk<'a> {
        MessageWalk { input, at: 0, depth: 0, out: Vec::new() }
    }

    /// Another walk through the same bytes, from another place.
    pub fn probe(&self, at: usize) -> MessageWalk<'a> {
        MessageWalk { input: self.input, at, depth: 0, out: Vec::new() }
    }

    /// Where the input ends.
    pub fn end(&self) -> usize {
        self.input.len()
    }

    pub fn position(&self) -> usize {
        self.at
    }

    pub fn skip_to(&mut self, at: usize) -> WalkResult<()> {
        self.at = at;
        if at <= self.input.len() { Ok(()) } else { Err(MalformedMessage("it ends within a structure")) }
    }

    pub fn take(&mut self, count: usize) -> WalkResult<&'a [u8]> {
        let end = self.at.checked_add(count).ok_or(MalformedMessage("a length is beyond all bounds"))?;
        let bytes = self.input.get(self.at..end).ok_or(MalformedMessage("it ends within a field"))?;
        self.at = end;
        Ok(bytes)
    }

    /// The bytes of a field that always has as many.
    pub fn fixed<const N: usize>(&mut self) -> WalkResult<[u8; N]> {
        let mut bytes = [0; N];
        bytes.copy_from_slice(self.take(N)?);
        Ok(bytes)
    }

    pub fn copy(&mut self, count: usize) -> WalkResult<()> {
        let bytes = self.take(count)?;
        self.out.extend_from_slice(bytes);
        Ok(())
    }

    pub fn peek(&self) -> WalkResult<u8> {
        self.input.get(self.at).copied().ok_or(MalformedMessage("it ends within a field"))
    }

    pub fn byte(&mut self) -> WalkResult<u8> {
        Ok(self.take(1)?[0])
    }

    pub fn number(&mut self) -> WalkResult<u32> {
        let bytes = self.take(4)?;
        Ok(u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
    }

    /// Length of a text or an array; every negative one is that of a null.
    pub fn length(&mut self) -> WalkResult<Option<usize>> {
        Ok(usize::try_from(self.number()?.cast_signed()).ok())
    }

    pub fn bytes(&mut self) -> WalkResult<Option<&'a [u8]>> {
        let length = self.length()?;
        length.map(|length| self.take(length)).transpose()
    }

    /// A text; what is not UTF-8 in it is replaced, and the text is owned then.
    pub fn text(&mut self) -> WalkResult<Option<Text<'a>>> {
        Ok(self.bytes()?.map(|bytes| Text { bytes: bytes.len(), text: String::from_utf8_lossy(bytes) }))
    }

    pub fn put(&mut self, bytes: &[u8]) {
        self.out.extend_from_slice(bytes);
    }

    pub fn put_length(&mut self, length: Option<usize>) {
        let length = length.map_or(-1, |length| i32::try_from(length).unwrap_or(i32::MAX));
        self.put(&length.to_le_bytes());
    }

    pub fn put_bytes(&mut self, bytes: Option<&[u8]>) {
        self.put_length(bytes.map(<[u8]>::len));
        self.put(bytes.unwrap_or_default());
    }

    pub fn copy_text(&mut self) -> WalkResult<()> {
        let text = self.text()?;
        self.put_bytes(text.as_ref().map(|text| text.text.as_bytes()));
        Ok(())
    }

    pub fn copy_bytes(&mut self) -> WalkResult<()> {
        let bytes = self.bytes()?;
        self.put_bytes(bytes);
        Ok(())
    }

    /// Copies an array of elements of one size.
    pub fn copy_array(&mut self, element: usize) -> WalkResult<()> {
        let length = self.length()?;
        self.put_length(length);
        self.copy(length.unwrap_or(0).checked_mul(element).ok_or(MalformedMessage("a length is beyond all bounds"))?)
    }

    /// Reads or copies a `LocalizedText`: locale and text.
    pub fn localized(&mut self) -> WalkResult<(Option<Text<'a>>, Option<Text<'a>>)> {
        let mask = self.byte()?;
        let locale = if mask & 1 == 0 { None } else { self.text()? };
        let text = if mask & 2 == 0 { None } else { self.text()? };
        Ok((locale, text))
    }

    pub fn put_localized(&mut self, locale: Option<&str>, text: Option<&str>) {
        self.put(&[u8::from(locale.is_some()) | (u8::from(text.is_some()) << 1)]);
        for part in [locale, text].into_iter().flatten() {
            self.put_bytes(Some(part.as_bytes()));
        }
    }

    pub fn copy_localized(&mut self) -> WalkResult<()> {
        let (locale, text) = self.localized()?;
        self.put_localized(locale.as_ref().map(|text| &*text.text), text.as_ref().map(|text| &*text.text));
        Ok(())
    }

    pub fn skip_node_id(&mut self, expanded: bool) -> WalkResult<()> {
        let kind = self.byte()?;
        match kind & 0x3f {
            0 => self.take(1).map(drop)?,
            1 => self.take(3).map(drop)?,
            2 => self.take(6).map(drop)?,
            3 | 5 => {
                self.take(2)?;
                self.bytes()?;
            }
            4 => self.take(18).map(drop)?,
            _ => return Err(MalformedMessage("a NodeId has an unknown form")),
        }
        if expanded && kind & 0x80 != 0 {
            self.bytes()?;
        }
        if expanded && kind & 0x40 != 0 {
            self.take(4)?;
        }
        Ok(())
    }

    /// Copies a `NodeId`; the number of one in namespace 0 is returned.
    pub fn copy_node_id(&mut self) -> WalkResult<Option<u32>> {
        let begin = self.at;
        self.skip_node_id(false)?;
        let id = &self.input[begin..self.at];
        self.put(id);
        Ok(match *id {
            [0, number] => Some(number.into()),
            [1, 0, low, high] => Some(u16::from_le_bytes([low, high]).into()),
            [2, 0, 0, a, b, c, d] => Some(u32::from_le_bytes([a, b, c, d])),
            _ => None,
        })
    }

    pub fn skip_extension_object(&mut self) -> WalkResult<()> {
        self.skip_node_id(false)?;
        match self.byte()? {
            0 => {}
            1 | 2 => drop(self.bytes()?),
            _ => return Err(MalformedMessage("a structure has an unknown encoding")),
        }
        Ok(())
    }

    pub fn skip_diagnostic_info(&mut self) -> WalkResult<()> {
        self.deeper(|walk| {
            let mask = walk.byte()?;
            for bit in [0x01, 0x02, 0x08, 0x04] {
                if mask & bit != 0 {
                    walk.take(4)?;
                }
            }
            if mask & 0x10 != 0 {
                walk.bytes()?;
            }
            if mask & 0x20 != 0 {
                walk.take(4)?;
            }
            if mask & 0x40 != 0 {
                walk.skip_diagnostic_info()?;
            }
            Ok(())
        })
    }

    pub fn skip_data_value(&mut self) -> WalkResult<()> {
        let mask = self.byte()?;
        if mask & 0x01 != 0 {
            self.skip_variant()?;
        }
        for (bit, size) in [(0x02, 4), (0x04, 8), (0x10, 2), (0x08, 8), (0x20, 2)] {
            if mask & bit != 0 {
                self.take(size)?;
            }
        }
        Ok(())
    }

    pub fn skip_variant(&mut self) -> WalkResult<()> {
        self.deeper(|walk| {
            let mask = walk.byte()?;
            if mask & 0x80 == 0 { walk.skip_scalar(mask & 0x3f) } else { walk.skip_elements(mask) }
        })
    }

    /// Passes over the length, the elements and the dimensions of an array whose mask was read.
    pub fn skip_elements(&mut self, mask: u8) -> WalkResult<()> {
        let kind = mask & 0x3f;
        let count = self.length()?.unwrap_or(0);
        if let Some(size) = size_of(kind) {
            self.take(count.checked_mul(size).ok_or(MalformedMessage("a length is beyond all bounds"))?)?;
        } else {
            for _ in 0..count {
                self.skip_scalar(kind)?;
            }
        }
        self.skip_dimensions(mask)
    }

    pub fn skip_dimensions(&mut self, mask: u8) -> WalkResult<()> {
        if mask & 0x40 != 0 {
            let dimensions = self.length()?.unwrap_or(0);
            self.take(dimensions.checked_mul(4).ok_or(MalformedMessage("a length is beyond all bounds"))?)?;
        }
        Ok(())
    }

    pub fn skip_scalar(&mut self, kind: u8) -> WalkResult<()> {
        if let Some(size) = size_of(kind) {
            return self.take(size).map(drop);
        }
        match kind {
            // 26 to 31 are reserved; the standard has them read like a ByteString.
            12 | 15 | 16 | 26..=31 => self.bytes().map(drop),
            17 => self.skip_node_id(false),
            18 => self.skip_node_id(true),
            20 => {
                self.take(2)?;
                self.bytes().map(drop)
            }
            21 => self.localized().map(drop),
            22 => self.skip_extension_object(),
            23 => self.deeper(MessageWalk::skip_data_value),
            24 => self.skip_variant(),
            25 => self.skip_diagnostic_info(),
            _ => Err(MalformedMessage("a value has an unknown type")),
        }
    }

    fn deeper<T>(&mut self, step: impl FnOnce(&mut Self) -> WalkResult<T>) -> WalkResult<T> {
        if self.depth >= DEPTH_MAX {
            return Err(MalformedMessage("values are nested too deeply"));
        }
        self.depth += 1;
        let done = step(self);
        self.depth -= 1;
        done
    }
}

/// Bytes of a built-in type that always has as many.
pub fn size_of(kind: u8) -> Option<usize> {
    Some(match kind {
        0 => 0,
        1..=3 => 1,
        4 | 5 => 2,
        6 | 7 | 10 | 19 => 4,
        8 | 9 | 11 | 13 => 8,
        14 => 16,
        _ => return None,
    })
}
