//! Rules as schemas.

use utoipa::openapi::{
    Object, ObjectBuilder, Ref, Type,
    schema::{AdditionalProperties, Array, ArrayBuilder},
};

pub(crate) fn text(min: usize, max: usize, pattern: &str, description: &str) -> Object {
    ObjectBuilder::new()
        .schema_type(Type::String)
        .min_length((min > 0).then_some(min))
        .max_length(Some(max))
        .pattern(Some(pattern))
        .description(Some(description))
        .build()
}

pub(crate) fn number(min: u32, max: u32, description: &str) -> Object {
    ObjectBuilder::new()
        .schema_type(Type::Integer)
        .minimum(Some(min as usize))
        .maximum(Some(max as usize))
        .description(Some(description))
        .build()
}

/// An object without other fields than those that are named.
pub(crate) fn closed() -> ObjectBuilder {
    ObjectBuilder::new().schema_type(Type::Object).additional_properties(Some(AdditionalProperties::FreeForm(false)))
}

/// A list of so many items.
pub(crate) fn list(item: Ref, min: usize, max: usize) -> Array {
    ArrayBuilder::new().items(item).min_items(Some(min)).max_items(Some(max)).build()
}

/// Standard base64 with padding of so many bytes, or of any number.
pub(crate) fn base64(bytes: Option<usize>, description: &str) -> Object {
    // The bits that no byte takes must be zero.
    const PATTERN: &str = "^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/][AQgw]==|[A-Za-z0-9+/]{2}[AEIMQUYcgkosw048]=)?$";
    let characters = bytes.map(|bytes| bytes.div_ceil(3) * 4);
    let (filled, padding) = bytes.map_or((0, 0), |bytes| (bytes / 3, bytes % 3));
    let exact = match padding {
        1 => format!("^(?:[A-Za-z0-9+/]{{4}}){{{filled}}}[A-Za-z0-9+/][AQgw]==$"),
        2 => format!("^(?:[A-Za-z0-9+/]{{4}}){{{filled}}}[A-Za-z0-9+/]{{2}}[AEIMQUYcgkosw048]=$"),
        _ => format!("^(?:[A-Za-z0-9+/]{{4}}){{{filled}}}$"),
    };
    ObjectBuilder::new()
        .schema_type(Type::String)
        .content_encoding("base64")
        .min_length(characters)
        .max_length(characters)
        .pattern(Some(if bytes.is_some() { exact } else { PATTERN.to_owned() }))
        .description(Some(description))
        .build()
}

pub(crate) fn hexadecimal(digits: usize, description: &str) -> Object {
    ObjectBuilder::new()
        .schema_type(Type::String)
        .pattern(Some(format!("^[0-9A-Fa-f]{{{digits}}}$")))
        .description(Some(description))
        .build()
}
