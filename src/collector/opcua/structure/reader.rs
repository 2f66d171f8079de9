//! One structure taken apart by the definition of its type (OPC 10000-6, 5.2.2.15 and 5.2.5 to 5.2.8).
//!
//! The bytes are gone through once, whatever is wanted of them: a value is taken only of a structure that follows its definition to the
//! last byte. Nothing is made room for but the one value that is wanted, or its text; arrays have no more elements than there are bytes,
//! and how deep and how long the reader goes is bounded for every content and every definition.

use opcua::types::Variant;

use super::{
    known::{EXTENSION_OBJECT, ElementShape, KnownShapes, VARIANT},
    path::{DIMENSIONS_MAX, FieldStep},
    scalar::{node_id, scalar},
    shape::{FieldShape, StructureForm, StructureShape},
    text::JsonText,
    untaken::UntakenField,
};
use crate::{
    convert,
    wire::walk::{MessageWalk, size_of},
};
use historian_model::Quality;

/// Structures within structures.
const DEPTH_MAX: usize = 32;
/// Values that are gone through, beside those that the bytes pay for: structures need none for fields that have none.
const VALUES_FREE: usize = 1_000;
const VALUES_PER_BYTE: usize = 32;

/// What is wanted of the part that comes next.
#[derive(Clone, Copy)]
enum Wanted<'p> {
    Nothing,
    /// All of it, as a text.
    Text,
    /// What these steps lead to.
    At(&'p [FieldStep]),
}

/// How the one value is wanted.
#[derive(Clone, Copy, Debug)]
pub struct TakenForm {
    /// Structures and arrays are taken, as texts.
    pub as_text: bool,
    /// Longest text.
    pub text_bytes_max: usize,
}

/// Takes what the steps lead to out of a structure with the id of its encoding in front; without steps all of it.
///
/// # Errors
/// Why there is no value.
pub fn take(object: &[u8], shapes: &KnownShapes, steps: &[FieldStep], form: TakenForm) -> Result<Variant, UntakenField> {
    let mut reader = StructureReader {
        walk: MessageWalk::reader(object),
        shapes,
        form,
        left: VALUES_FREE + object.len().saturating_mul(VALUES_PER_BYTE),
        depth: 0,
        text: JsonText::new(form.text_bytes_max),
        found: None,
        absent: None,
    };
    reader.element(ElementShape::BuiltIn(EXTENSION_OBJECT), Wanted::At(steps))?;
    if reader.walk.position() != object.len() {
        return Err(UntakenField::malformed("bytes are left behind it"));
    }
    let absent = reader.absent.unwrap_or_else(|| "there is no value at this place".to_owned());
    reader.found.ok_or_else(|| UntakenField::new(Quality::BAD_NO_DATA, absent))
}

struct StructureReader<'a> {
    walk: MessageWalk<'a>,
    shapes: &'a KnownShapes,
    form: TakenForm,
    /// Values that may still be gone through.
    left: usize,
    depth: usize,
    text: JsonText,
    found: Option<Variant>,
    /// Why there is no value at the place that the steps lead to.
    absent: Option<String>,
}

impl<'a> StructureReader<'a> {
    /// A value that is no array.
    fn element(&mut self, shape: ElementShape<'a>, wanted: Wanted<'_>) -> Result<(), UntakenField> {
        self.left = self.left.checked_sub(1).ok_or_else(|| UntakenField::malformed("it has more values than bytes can be for"))?;
        match shape {
            ElementShape::Structure(shape) => self.deeper(|reader| reader.structure(shape, wanted)),
            ElementShape::BuiltIn(EXTENSION_OBJECT) => self.deeper(|reader| reader.object(wanted)),
            ElementShape::BuiltIn(VARIANT) => self.deeper(|reader| reader.variant(wanted)),
            ElementShape::BuiltIn(kind) => self.scalar(kind, wanted),
        }
    }

    fn deeper(&mut self, step: impl FnOnce(&mut Self) -> Result<(), UntakenField>) -> Result<(), UntakenField> {
        if self.depth >= DEPTH_MAX {
            return Err(UntakenField::malformed("structures are nested too deeply"));
        }
        self.depth += 1;
        step(self)?;
        self.depth -= 1;
        Ok(())
    }

    /// A structure with the id of its encoding in front.
    fn object(&mut self, wanted: Wanted<'_>) -> Result<(), UntakenField> {
        let encoding = node_id(&mut self.walk)?;
        let content = self.walk.byte()?;
        if content == 0 {
            return self.nothing(wanted, "the structure has no content");
        }
        let length = self.walk.length()?.unwrap_or(0);
        let end = self.walk.position().saturating_add(length);
        if end > self.walk.end() {
            return Err(UntakenField::malformed("it ends within a structure"));
        }
        match (content, wanted) {
            // Of what type it is matters to nobody.
            (1 | 2, Wanted::Nothing) => return Ok(self.walk.skip_to(end)?),
            (1, _) => {}
            (2, _) => return Err(UntakenField::new(Quality::BAD_NOT_SUPPORTED, "the structure comes as XML, which is not taken")),
            _ => return Err(UntakenField::malformed("a structure has an unknown encoding")),
        }
        let shapes = self.shapes;
        self.structure(shapes.of_encoding(&encoding)?, wanted)?;
        if self.walk.position() == end { Ok(()) } else { Err(UntakenField::malformed("its length is not that of its fields")) }
    }

    /// The fields of a structure.
    fn structure(&mut self, shape: &'a StructureShape, wanted: Wanted<'_>) -> Result<(), UntakenField> {
        let (name, behind): (Option<&String>, &[FieldStep]) = match wanted {
            Wanted::At([FieldStep::Name(name), rest @ ..]) if shape.has(name) => (Some(name), rest),
            Wanted::At([FieldStep::Name(name), ..]) => return Err(UntakenField::misled(shape.without(name))),
            Wanted::At([FieldStep::Element(_), ..]) => {
                return Err(UntakenField::misled(format!("there is a structure and no array; it has {}", shape.names())));
            }
            Wanted::At([]) if !self.form.as_text => {
                let why = format!("there is a structure, which only a string tag takes; it has {}", shape.names());
                return Err(UntakenField::new(Quality::BAD_TYPE_MISMATCH, why));
            }
            _ => (None, &[]),
        };
        let is_text = matches!(wanted, Wanted::Text | Wanted::At([]));
        let choice = if shape.form == StructureForm::Plain { 0 } else { self.walk.number()? };
        // Of a union its one field is looked at and no other: four bytes must not pay for thousands of fields, over and over.
        let fields = match (shape.form, choice as usize) {
            (StructureForm::Plain, _) => &shape.fields[..],
            (StructureForm::Union, 0) => return self.nothing(wanted, "the union holds none of its fields"),
            (StructureForm::Union, number) => {
                let chosen = shape.fields.get(number - 1..number);
                chosen.ok_or_else(|| UntakenField::malformed("its union holds a field that is not defined"))?
            }
            (StructureForm::Optional, _) => {
                let optional = shape.fields.iter().filter(|field| field.is_optional).count();
                if u64::from(choice) >> optional != 0 {
                    return Err(UntakenField::malformed("it has optional fields that are not defined"));
                }
                &shape.fields[..]
            }
        };
        if let Some(name) = name
            && shape.form == StructureForm::Union
            && fields.iter().all(|chosen| chosen.name != *name)
        {
            self.absent = Some(format!("the value has no {name} now"));
        }
        let mut mask = choice;
        let mut is_first = true;
        if is_text {
            self.text.push("{")?;
        }
        for field in fields {
            let mut is_there = true;
            if shape.form == StructureForm::Optional && field.is_optional {
                is_there = mask & 1 == 1;
                mask >>= 1;
            }
            let is_meant = name.is_some_and(|name| *name == field.name);
            if !is_there {
                if is_meant {
                    self.absent = Some(format!("the value has no {} now", field.name));
                }
                continue;
            }
            let wanted = match (is_text, is_meant) {
                (true, _) => Wanted::Text,
                (false, true) => Wanted::At(behind),
                (false, false) => Wanted::Nothing,
            };
            if is_text {
                if !std::mem::take(&mut is_first) {
                    self.text.push(",")?;
                }
                self.text.quote(&field.name)?;
                self.text.push(":")?;
            }
            self.field(field, wanted)?;
        }
        if is_text {
            self.text.push("}")?;
        }
        self.take_text(wanted);
        Ok(())
    }

    fn field(&mut self, field: &'a FieldShape, wanted: Wanted<'_>) -> Result<(), UntakenField> {
        let shapes = self.shapes;
        let shape = match shapes.element(&field.data_type)? {
            // With a subtype comes its name: that of a structure by its encoding, that of anything else as in any value.
            ElementShape::Structure(_) | ElementShape::BuiltIn(EXTENSION_OBJECT) if field.takes_subtypes => {
                ElementShape::BuiltIn(EXTENSION_OBJECT)
            }
            _ if field.takes_subtypes => ElementShape::BuiltIn(VARIANT),
            shape => shape,
        };
        if field.rank == 0 {
            return self.element(shape, wanted);
        }
        let Some(count) = self.walk.length()? else { return self.nothing(wanted, "the array is null") };
        if field.rank == 1 {
            return self.array(shape, &[count], wanted);
        }
        if count != field.rank {
            return Err(UntakenField::malformed("an array has not the dimensions of its field"));
        }
        let lengths = self.lengths(count)?;
        self.array(shape, &lengths, wanted)
    }

    /// Lengths of so many dimensions.
    fn lengths(&mut self, count: usize) -> Result<Vec<usize>, UntakenField> {
        if count > DIMENSIONS_MAX {
            return Err(UntakenField::malformed("an array has too many dimensions"));
        }
        let mut lengths = Vec::with_capacity(count);
        for _ in 0..count {
            lengths.push(self.walk.length()?.unwrap_or(0));
        }
        Ok(lengths)
    }

    /// The elements of an array, of which the last index counts fastest.
    fn array(&mut self, shape: ElementShape<'a>, lengths: &[usize], wanted: Wanted<'_>) -> Result<(), UntakenField> {
        let count = lengths.iter().try_fold(1_usize, |count, length| count.checked_mul(*length)).unwrap_or(usize::MAX);
        if count > self.walk.end().saturating_sub(self.walk.position()) {
            return Err(UntakenField::malformed("an array has more elements than there are bytes"));
        }
        let is_text = matches!(wanted, Wanted::Text | Wanted::At([]));
        let (mut meant, mut behind): (Option<usize>, &[FieldStep]) = (None, &[]);
        match wanted {
            Wanted::At([FieldStep::Element(index), rest @ ..]) => {
                behind = rest;
                meant = self.place(index, lengths)?;
            }
            Wanted::At([FieldStep::Name(name), ..]) => {
                return Err(UntakenField::misled(format!("there is an array before {name}; take one of its elements, the first by [0]")));
            }
            Wanted::At([]) if !self.form.as_text => {
                let why = "there is an array, which only a string tag takes; take one of its elements, the first by [0]";
                return Err(UntakenField::new(Quality::BAD_TYPE_MISMATCH, why));
            }
            Wanted::Nothing => {
                if let ElementShape::BuiltIn(kind) = shape
                    && let Some(size) = size_of(kind)
                {
                    self.walk.take(count.saturating_mul(size))?;
                    return Ok(());
                }
            }
            _ => {}
        }
        if count == 0 {
            if is_text {
                self.text.push("[]")?;
            }
            self.take_text(wanted);
            return Ok(());
        }
        // At these steps a dimension begins, the outermost first.
        let steps: Vec<usize> = (0..lengths.len()).map(|level| lengths[level..].iter().product()).collect();
        for at in 0..count {
            if is_text {
                if at > 0 {
                    self.text.push(",")?;
                }
                self.text.push(&"[".repeat(steps.iter().filter(|step| at % **step == 0).count()))?;
            }
            let wanted = match (is_text, meant == Some(at)) {
                (true, _) => Wanted::Text,
                (false, true) => Wanted::At(behind),
                (false, false) => Wanted::Nothing,
            };
            self.element(shape, wanted)?;
            if is_text {
                self.text.push(&"]".repeat(steps.iter().filter(|step| (at + 1) % **step == 0).count()))?;
            }
        }
        self.take_text(wanted);
        Ok(())
    }

    /// Where the element of an index is; `None` where the array ends before.
    fn place(&mut self, index: &[u32], lengths: &[usize]) -> Result<Option<usize>, UntakenField> {
        if index.len() != lengths.len() {
            let why = format!("the array has {} dimensions, and the index {}", lengths.len(), index.len());
            return Err(UntakenField::misled(why));
        }
        let mut at = 0;
        for (index, length) in index.iter().zip(lengths) {
            let index = *index as usize;
            if index >= *length {
                let lengths: Vec<String> = lengths.iter().map(ToString::to_string).collect();
                self.absent = Some(format!("the array has {} elements now", lengths.join(" x ")));
                return Ok(None);
            }
            // Within the number of elements, which was looked at.
            at = at * length + index;
        }
        Ok(Some(at))
    }

    /// A value that says of what type it is.
    fn variant(&mut self, wanted: Wanted<'_>) -> Result<(), UntakenField> {
        let mask = self.walk.byte()?;
        let shape = match mask & 0x3f {
            0 => return self.nothing(wanted, "the value is null"),
            kind @ 1..=25 => ElementShape::BuiltIn(kind),
            _ => return Err(UntakenField::malformed("a value has an unknown type")),
        };
        if mask & 0x80 == 0 {
            return self.element(shape, wanted);
        }
        let from = self.walk.position();
        let Some(count) = self.walk.length()? else {
            self.walk.skip_dimensions(mask)?;
            return self.nothing(wanted, "the array is null");
        };
        // The dimensions stand behind the elements.
        self.walk.skip_to(from)?;
        self.walk.skip_elements(mask & !0x40)?;
        let mut lengths = vec![count];
        if mask & 0x40 != 0 {
            match self.walk.length()? {
                None | Some(0) => {}
                Some(dimensions) => lengths = self.lengths(dimensions)?,
            }
        }
        if lengths.iter().try_fold(1_usize, |count, length| count.checked_mul(*length)) != Some(count) {
            return Err(UntakenField::malformed("the dimensions of an array are not those of its elements"));
        }
        let end = self.walk.position();
        self.walk.skip_to(from + 4)?;
        self.array(shape, &lengths, wanted)?;
        Ok(self.walk.skip_to(end)?)
    }

    /// A value of a built-in type.
    fn scalar(&mut self, kind: u8, wanted: Wanted<'_>) -> Result<(), UntakenField> {
        if matches!(wanted, Wanted::Nothing) {
            return Ok(self.walk.skip_scalar(kind)?);
        }
        let Some(value) = scalar(&mut self.walk, kind)? else {
            let why = "there is a DataValue or a DiagnosticInfo, which is not taken out of structures";
            return Err(UntakenField::new(Quality::BAD_NOT_SUPPORTED, why));
        };
        match wanted {
            Wanted::At([]) => {
                self.check_length(&value)?;
                self.found = Some(value);
                Ok(())
            }
            Wanted::At([step, ..]) => {
                let what = match step {
                    FieldStep::Name(name) => format!("no structure with a field {name}"),
                    FieldStep::Element(_) => "no array".to_owned(),
                };
                Err(UntakenField::misled(format!("there is {} and {what}", convert::name_of(&value))))
            }
            Wanted::Text | Wanted::Nothing => self.text.value(&value),
        }
    }

    /// As the same value of a node of its own is checked.
    fn check_length(&self, value: &Variant) -> Result<(), UntakenField> {
        let (length, most) = (convert::text(value).map_or(0, |text| text.len()), self.form.text_bytes_max);
        if length <= most {
            return Ok(());
        }
        let why = format!("the text has {length} bytes, more than text_bytes_max = {most} allows");
        Err(UntakenField::new(Quality::BAD_ENCODING_LIMITS_EXCEEDED, why))
    }

    /// There is nothing where something may be.
    fn nothing(&mut self, wanted: Wanted<'_>, why: &str) -> Result<(), UntakenField> {
        match wanted {
            Wanted::Nothing => Ok(()),
            Wanted::Text => self.text.push("null"),
            Wanted::At(_) => {
                self.absent = Some(why.to_owned());
                Ok(())
            }
        }
    }

    /// What was written is the value, where all of this part was asked for.
    fn take_text(&mut self, wanted: Wanted<'_>) {
        if matches!(wanted, Wanted::At([])) {
            let text = std::mem::replace(&mut self.text, JsonText::new(0)).into_text();
            self.found = Some(Variant::from(text));
        }
    }
}
