//! What the `.proto` files say of names and types, looked up by name.

use std::{collections::HashMap, sync::OnceLock};

use prost::Message;
use prost_types::{
    DescriptorProto, EnumDescriptorProto, FieldDescriptorProto, FileDescriptorSet,
    field_descriptor_proto::{Label, Type},
};

/// All messages and enums, by their full names without the leading dot.
#[derive(Default)]
pub struct Schema {
    messages: HashMap<String, MessageType>,
    enums: HashMap<String, EnumType>,
}

#[derive(Default)]
pub struct MessageType {
    fields: Vec<Field>,
    /// Both names of each field, to its place.
    by_name: HashMap<String, usize>,
}

pub struct Field {
    pub name: String,
    pub number: u32,
    pub repeated: bool,
    /// Written also where it is the default: a member of a `oneof`, `optional`.
    pub has_presence: bool,
    /// Which `oneof` of the message.
    pub oneof: Option<i32>,
    pub kind: Kind,
}

pub enum Kind {
    Plain(Type),
    Enum(String),
    Message(String),
}

#[derive(Default)]
pub struct EnumType {
    numbers: HashMap<String, i32>,
    /// The whole name of the number 0.
    zero: Option<String>,
    /// The short names in the order of the numbers, for a refusal.
    pub shown: Vec<String>,
}

impl Schema {
    pub fn message(&self, name: &str) -> Option<&MessageType> {
        self.messages.get(name)
    }

    pub fn enumeration(&self, name: &str) -> Option<&EnumType> {
        self.enums.get(name)
    }

    fn add_message(&mut self, scope: &str, message: &DescriptorProto) {
        let name = format!("{scope}.{}", message.name());
        message.nested_type.iter().for_each(|nested| self.add_message(&name, nested));
        message.enum_type.iter().for_each(|nested| self.add_enum(&name, nested));
        let mut known = MessageType::default();
        for field in &message.field {
            let place = known.fields.len();
            known.by_name.insert(field.name().to_owned(), place);
            known.by_name.insert(lower_camel_case(field), place);
            known.fields.push(Field::of(field));
        }
        self.messages.insert(name, known);
    }

    fn add_enum(&mut self, scope: &str, descriptor: &EnumDescriptorProto) {
        let prefix = format!("{}_", upper_snake_case(descriptor.name()));
        let mut known = EnumType::default();
        for value in &descriptor.value {
            known.numbers.insert(value.name().to_owned(), value.number());
            if value.number() == 0 {
                known.zero = Some(value.name().to_owned());
            }
            if let Some(short) = value.name().strip_prefix(&prefix) {
                known.numbers.insert(short.to_owned(), value.number());
                if short != "UNSPECIFIED" {
                    known.shown.push(short.to_owned());
                }
            }
        }
        self.enums.insert(format!("{scope}.{}", descriptor.name()), known);
    }
}

impl MessageType {
    /// A field by its name in the `.proto` file or in lowerCamelCase.
    pub fn field(&self, name: &str) -> Option<&Field> {
        self.by_name.get(name).map(|place| &self.fields[*place])
    }

    pub fn fields(&self) -> &[Field] {
        &self.fields
    }
}

impl EnumType {
    pub fn number(&self, name: &str) -> Option<i32> {
        self.numbers.get(name).copied()
    }

    pub fn zero(&self) -> Option<&str> {
        self.zero.as_deref()
    }
}

impl Field {
    fn of(field: &FieldDescriptorProto) -> Field {
        let type_name = field.type_name().trim_start_matches('.').to_owned();
        Field {
            name: field.name().to_owned(),
            number: field.number().unsigned_abs(),
            repeated: field.label() == Label::Repeated,
            has_presence: field.oneof_index.is_some(),
            oneof: field.oneof_index.filter(|_| !field.proto3_optional()),
            kind: match field.r#type() {
                Type::Message | Type::Group => Kind::Message(type_name),
                Type::Enum => Kind::Enum(type_name),
                plain => Kind::Plain(plain),
            },
        }
    }
}

/// The schema of this package, made once.
pub fn schema() -> &'static Schema {
    static SCHEMA: OnceLock<Schema> = OnceLock::new();
    SCHEMA.get_or_init(|| {
        let mut schema = Schema::default();
        // What the build wrote is sound, or the build has failed; from nothing no message would be known, which a test would see.
        for file in FileDescriptorSet::decode(crate::DESCRIPTORS).unwrap_or_default().file {
            file.message_type.iter().for_each(|message| schema.add_message(file.package(), message));
            file.enum_type.iter().for_each(|descriptor| schema.add_enum(file.package(), descriptor));
        }
        schema
    })
}

/// The name that the compiler gave, or else the rule of the language: the letter behind each underscore is upper case.
fn lower_camel_case(field: &FieldDescriptorProto) -> String {
    if let Some(name) = &field.json_name {
        return name.clone();
    }
    let mut name = String::new();
    let mut raise = false;
    for letter in field.name().chars() {
        match letter {
            '_' => raise = true,
            letter if raise => {
                name.push(letter.to_ascii_uppercase());
                raise = false;
            }
            letter => name.push(letter),
        }
    }
    name
}

/// `QualityFilter` to `QUALITY_FILTER`: how the values of an enum begin.
fn upper_snake_case(name: &str) -> String {
    let mut snake = String::new();
    for letter in name.chars() {
        if letter.is_ascii_uppercase() && !snake.is_empty() {
            snake.push('_');
        }
        snake.push(letter.to_ascii_uppercase());
    }
    snake
}
