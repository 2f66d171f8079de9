//! The parts of a workbook: files of a zip archive, each XML. The first step of reading one.
//!
//! Whoever made the archive is not trusted: no part is taken longer than its bound, whatever its header says, and what comes out has the
//! checksum that the directory of the archive has for it.

use std::io::Read;

use flate2::bufread::DeflateDecoder;
use quick_xml::{
    Reader,
    escape::resolve_xml_entity,
    events::{BytesStart, Event},
};
use rawzip::{CompressionMethod, ZipArchive, ZipSliceArchive};

/// Bytes of a part, unpacked: a sheet with some half a million cells.
const PART_BYTES_MAX: u64 = 64 << 20;
/// Files in an archive; a workbook has some dozens, and one more for each picture.
const FILES_MAX: usize = 10_000;

/// An archive with the parts of a workbook.
pub struct PartArchive<'a> {
    archive: ZipSliceArchive<&'a [u8]>,
}

impl<'a> PartArchive<'a> {
    /// # Errors
    /// It is no archive, or not whole.
    pub fn open(bytes: &'a [u8]) -> Result<PartArchive<'a>, String> {
        let archive = ZipArchive::from_slice(bytes).map_err(|error| format!("is no whole XLSX file: {error}"))?;
        Ok(PartArchive { archive })
    }

    /// The text of a part; `None` where there is none of this name.
    ///
    /// # Errors
    /// It is there and cannot be read.
    pub fn part(&self, name: &str) -> Result<Option<String>, String> {
        let broken = |error: &dyn std::fmt::Display| format!("its part {name} cannot be read: {error}");
        let mut found = None;
        for (count, file) in self.archive.entries().enumerate() {
            let file = file.map_err(|error| broken(&error))?;
            if count >= FILES_MAX {
                return Err(format!("has more than {FILES_MAX} files in it"));
            }
            if file.file_path().as_ref().eq_ignore_ascii_case(name.as_bytes()) && found.replace(file).is_some() {
                return Err(broken(&"it is there twice"));
            }
        }
        let Some(file) = found else { return Ok(None) };
        if file.flags().is_encrypted() {
            return Err(broken(&"it is encrypted; save the workbook without a password"));
        }
        let entry = self.archive.get_entry(file.wayfinder()).map_err(|error| broken(&error))?;
        let packed = entry.data();
        let unpacked: Box<dyn Read + '_> = match file.compression_method() {
            CompressionMethod::STORE => Box::new(packed),
            CompressionMethod::DEFLATE => Box::new(DeflateDecoder::new(packed)),
            other => return Err(broken(&format_args!("its compression is {other}"))),
        };
        let mut bytes = Vec::new();
        // The end is compared with what the directory says as soon as it is reached.
        entry.verifying_reader(unpacked).take(PART_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(|error| broken(&error))?;
        if bytes.len() as u64 > PART_BYTES_MAX {
            return Err(broken(&format_args!("it is larger than {} MiB", PART_BYTES_MAX >> 20)));
        }
        String::from_utf8(bytes).map(Some).map_err(|_| broken(&"it is not UTF-8"))
    }

    /// The text of a part that has to be there.
    ///
    /// # Errors
    /// It is not there, or cannot be read.
    pub fn needed(&self, name: &str) -> Result<String, String> {
        self.part(name)?.ok_or_else(|| format!("has no part {name}"))
    }
}

/// What comes next in a part. Prefixes of namespaces are left out: makes differ in them.
pub enum XmlStep<'a> {
    Open(XmlElement<'a>),
    /// The end of the element of this name; one that is empty has an end as well.
    Close(String),
    /// A piece of text: one text may come in several.
    Text(String),
}

/// An element with its attributes.
pub struct XmlElement<'a> {
    pub name: String,
    start: BytesStart<'a>,
}

impl XmlElement<'_> {
    /// The attribute of this name that has no prefix.
    ///
    /// # Errors
    /// An attribute is malformed.
    pub fn attribute(&self, name: &str) -> Result<Option<String>, String> {
        self.find(|key| key == name)
    }

    /// The attribute of this name that has a prefix.
    ///
    /// # Errors
    /// An attribute is malformed.
    pub fn prefixed(&self, name: &str) -> Result<Option<String>, String> {
        self.find(|key| key.split_once(':').is_some_and(|(_, local)| local == name))
    }

    /// Whether an attribute says yes.
    ///
    /// # Errors
    /// An attribute is malformed.
    pub fn flag(&self, name: &str) -> Result<bool, String> {
        Ok(self.attribute(name)?.is_some_and(|value| value == "1" || value == "true"))
    }

    fn find(&self, is_it: impl Fn(&str) -> bool) -> Result<Option<String>, String> {
        for attribute in self.start.attributes() {
            let attribute = attribute.map_err(|error| error.to_string())?;
            if is_it(attribute.key.as_ref()) {
                let value = attribute.normalized_value(quick_xml::XmlVersion::Implicit1_0).map_err(|error| error.to_string())?;
                return Ok(Some(value.into_owned()));
            }
        }
        Ok(None)
    }
}

/// Walks through a part.
pub struct XmlWalk<'a> {
    name: &'a str,
    reader: Reader<&'a [u8]>,
    depth: usize,
}

impl<'a> XmlWalk<'a> {
    /// Begins behind the outermost element, which has to have the name `root`.
    ///
    /// # Errors
    /// It has another one, or the text is no XML.
    pub fn new(name: &'a str, text: &'a str, root: &str) -> Result<XmlWalk<'a>, String> {
        let mut reader = Reader::from_str(text.trim_start_matches('\u{feff}'));
        reader.config_mut().expand_empty_elements = true;
        let mut walk = XmlWalk { name, reader, depth: 0 };
        loop {
            match walk.step()? {
                Some(XmlStep::Open(element)) if element.name == root => return Ok(walk),
                Some(XmlStep::Open(element)) => {
                    return Err(walk.broken(&format!("it begins with <{}> and not with <{root}>", element.name)));
                }
                Some(_) => {}
                None => return Err(walk.broken("it is empty")),
            }
        }
    }

    /// What comes next; `None` at the end.
    ///
    /// # Errors
    /// The text is no XML, ends within an element, or has entities of its own.
    pub fn step(&mut self) -> Result<Option<XmlStep<'a>>, String> {
        loop {
            let event = self.reader.read_event().map_err(|error| self.broken(&error.to_string()))?;
            let step = match event {
                Event::Start(start) => {
                    self.depth += 1;
                    XmlStep::Open(XmlElement { name: start.local_name().into_inner().to_owned(), start })
                }
                Event::End(end) => {
                    self.depth = self.depth.saturating_sub(1);
                    XmlStep::Close(end.local_name().into_inner().to_owned())
                }
                Event::Text(text) => XmlStep::Text(text.xml10_content().into_owned()),
                Event::CData(text) => XmlStep::Text(text.xml10_content().into_owned()),
                Event::GeneralRef(reference) => match reference.resolve_char_ref() {
                    Ok(Some(character)) => XmlStep::Text(character.to_string()),
                    Ok(None) => match resolve_xml_entity(&reference) {
                        Some(text) => XmlStep::Text(text.to_owned()),
                        None => return Err(self.broken(&format!("&{}; is no entity of XML", reference.as_ref() as &str))),
                    },
                    Err(error) => return Err(self.broken(&error.to_string())),
                },
                // Where entities are defined that grow, or lie in other files. No workbook has one.
                Event::DocType(_) => return Err(self.broken("it has a document type, which no workbook has")),
                Event::Eof if self.depth > 0 => return Err(self.broken("it ends too early")),
                Event::Eof => return Ok(None),
                Event::Empty(_) | Event::Comment(_) | Event::Decl(_) | Event::PI(_) => continue,
            };
            return Ok(Some(step));
        }
    }

    /// In words, with the name of the part.
    pub fn broken(&self, what: &str) -> String {
        format!("its part {} cannot be understood: {what}", self.name)
    }
}
