//! The shapes of messages: what each field holds, and what a message takes by itself, of the `.proto` files.

use std::collections::HashMap;

use prost::Message;
use prost_types::{
    DescriptorProto, FieldDescriptorProto, FileDescriptorSet,
    field_descriptor_proto::{Label, Type},
};

/// Bytes of a `String`, a `Vec`, a map.
const OWNER_BYTES: usize = 24;

/// One message among [`Shapes`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape(pub(super) usize);

/// What a field holds, as far as that decides how it is read and what it takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Holds {
    /// A number, and its bytes when it is decoded.
    Varint(usize),
    Fixed32,
    Fixed64,
    Text,
    /// Stays where it came.
    Bytes,
    Message(Shape),
}

#[derive(Clone, Copy, Debug)]
pub struct Part {
    pub number: u32,
    pub holds: Holds,
    pub repeated: bool,
    /// Counted this often: entries of a map have room beside them.
    pub times: usize,
}

#[derive(Default)]
pub struct MessageShape {
    /// In the order of their numbers.
    pub parts: Vec<Part>,
    /// Which of the parts exclude each other.
    oneofs: HashMap<u32, i32>,
    /// Of the message itself, without what it owns.
    pub bytes: usize,
}

impl MessageShape {
    pub fn part(&self, number: u32) -> Option<&Part> {
        self.parts.binary_search_by_key(&number, |part| part.number).ok().map(|index| &self.parts[index])
    }
}

/// A field of a message that is not of this package; see [`Shapes::add`].
#[derive(Clone, Copy, Debug)]
pub enum Foreign {
    Varint,
    Fixed64,
    Text,
    Bytes,
    Message(&'static str),
    Texts,
    Messages(&'static str),
}

/// The shapes of messages, by name.
#[derive(Default)]
pub struct Shapes {
    pub(super) messages: Vec<MessageShape>,
    by_name: HashMap<String, Shape>,
    /// What each method takes, by its path.
    pub(super) inputs: HashMap<String, Shape>,
}

impl Shapes {
    /// Those of this package and of what it imports.
    pub fn of_package() -> Shapes {
        let mut shapes = Shapes::default();
        // What the build wrote is sound, or the build has failed; a test sees that it is not empty.
        let files = FileDescriptorSet::decode(crate::DESCRIPTORS).unwrap_or_default().file;
        for file in &files {
            file.message_type.iter().for_each(|message| shapes.add_descriptor(file.package(), message));
        }
        for (package, service) in files.iter().flat_map(|file| file.service.iter().map(|service| (file.package(), service))) {
            for method in &service.method {
                let input = shapes.named(method.input_type().trim_start_matches('.'));
                shapes.inputs.insert(format!("/{package}.{}/{}", service.name(), method.name()), input);
            }
        }
        shapes.measure();
        shapes
    }

    /// Adds a message of another package. Those that it names may be added later.
    pub fn add(&mut self, name: &'static str, fields: &[(u32, Foreign)]) {
        let mut parts = Vec::with_capacity(fields.len());
        for (number, field) in fields {
            let (holds, repeated) = match *field {
                Foreign::Varint => (Holds::Varint(8), false),
                Foreign::Fixed64 => (Holds::Fixed64, false),
                Foreign::Text => (Holds::Text, false),
                Foreign::Bytes => (Holds::Bytes, false),
                Foreign::Message(name) => (Holds::Message(self.named(name)), false),
                Foreign::Texts => (Holds::Text, true),
                Foreign::Messages(name) => (Holds::Message(self.named(name)), true),
            };
            parts.push(Part { number: *number, holds, repeated, times: 1 });
        }
        let Shape(index) = self.named(name);
        self.messages[index].parts = parts;
        self.measure();
    }

    /// What a method takes, by its path `/package.Service/Method`.
    pub fn add_method(&mut self, path: String, input: &'static str) {
        let input = self.named(input);
        self.inputs.insert(path, input);
    }

    pub fn find(&self, name: &str) -> Option<Shape> {
        self.by_name.get(name).copied()
    }

    /// What the method with this path takes.
    pub fn input(&self, path: &str) -> Option<Shape> {
        self.inputs.get(path).copied()
    }

    fn named(&mut self, name: &str) -> Shape {
        if let Some(known) = self.by_name.get(name) {
            return *known;
        }
        let shape = Shape(self.messages.len());
        self.messages.push(MessageShape::default());
        self.by_name.insert(name.to_owned(), shape);
        shape
    }

    fn add_descriptor(&mut self, scope: &str, message: &DescriptorProto) {
        let name = format!("{scope}.{}", message.name());
        message.nested_type.iter().for_each(|nested| self.add_descriptor(&name, nested));
        let entries: Vec<String> = message
            .nested_type
            .iter()
            .filter(|nested| nested.options.as_ref().is_some_and(prost_types::MessageOptions::map_entry))
            .map(|nested| format!(".{name}.{}", nested.name()))
            .collect();
        let Shape(index) = self.named(&name);
        let parts = message.field.iter().map(|field| self.part(field, &entries)).collect();
        let oneof = |field: &FieldDescriptorProto| Some((field.number().unsigned_abs(), field.oneof_index?));
        self.messages[index] = MessageShape { parts, oneofs: message.field.iter().filter_map(oneof).collect(), bytes: 0 };
    }

    fn part(&mut self, field: &FieldDescriptorProto, entries: &[String]) -> Part {
        let holds = match field.r#type() {
            Type::Bool => Holds::Varint(1),
            Type::Int32 | Type::Uint32 | Type::Sint32 | Type::Enum => Holds::Varint(4),
            Type::Int64 | Type::Uint64 | Type::Sint64 => Holds::Varint(8),
            Type::Fixed32 | Type::Sfixed32 | Type::Float => Holds::Fixed32,
            Type::Fixed64 | Type::Sfixed64 | Type::Double => Holds::Fixed64,
            Type::String => Holds::Text,
            Type::Bytes => Holds::Bytes,
            Type::Message | Type::Group => Holds::Message(self.named(field.type_name().trim_start_matches('.'))),
        };
        let is_map = entries.iter().any(|entry| entry == field.type_name());
        let repeated = field.label() == Label::Repeated;
        Part { number: field.number().unsigned_abs(), holds, repeated, times: if is_map { 2 } else { 1 } }
    }

    /// Computes what each message takes by itself.
    fn measure(&mut self) {
        for index in 0..self.messages.len() {
            self.messages[index].parts.sort_unstable_by_key(|part| part.number);
            self.messages[index].bytes = self.bytes_of(Shape(index), &mut Vec::new());
        }
    }

    fn bytes_of(&self, shape: Shape, around: &mut Vec<Shape>) -> usize {
        // A message that holds itself does so by a pointer.
        if around.contains(&shape) {
            return 8;
        }
        around.push(shape);
        let message = &self.messages[shape.0];
        let mut bytes = 0;
        let mut choices: HashMap<i32, usize> = HashMap::new();
        for part in &message.parts {
            let own = match part.holds {
                _ if part.repeated => OWNER_BYTES,
                Holds::Text => OWNER_BYTES,
                Holds::Bytes => OWNER_BYTES + 8,
                Holds::Message(inner) => 8 + self.bytes_of(inner, around),
                Holds::Varint(_) | Holds::Fixed32 | Holds::Fixed64 => 8,
            };
            match message.oneofs.get(&part.number) {
                Some(choice) => {
                    let most = choices.entry(*choice).or_default();
                    *most = own.max(*most);
                }
                None => bytes += own,
            }
        }
        around.pop();
        bytes + choices.values().map(|most| 8 + most).sum::<usize>()
    }
}
