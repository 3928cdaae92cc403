//! Reads netlink messages and attributes, netlink(7). Where bytes are no longer readable it ends.

/// The length of a message header.
const HEADER: usize = 16;
/// Attribute types without the flags for nesting and byte order.
const TYPE_MASK: u16 = 0x3fff;

/// The messages in what one receive gave: their types and bodies.
#[cfg_attr(not(feature = "program"), allow(dead_code))]
pub(crate) fn messages(mut bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    std::iter::from_fn(move || {
        let length = u32::from_ne_bytes(*bytes.first_chunk()?) as usize;
        let kind = u16::from_ne_bytes(*bytes.get(4..)?.first_chunk()?);
        let body = bytes.get(HEADER..length)?;
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some((kind, body))
    })
}

/// The attributes in a body, with their types.
pub(crate) fn all(mut bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    std::iter::from_fn(move || {
        let length = usize::from(u16::from_ne_bytes(*bytes.first_chunk()?));
        let kind = u16::from_ne_bytes(*bytes.get(2..)?.first_chunk()?) & TYPE_MASK;
        let value = bytes.get(4..length)?;
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some((kind, value))
    })
}

/// The value of the first attribute of this type.
pub(crate) fn get(bytes: &[u8], kind: u16) -> Option<&[u8]> {
    all(bytes).find_map(|(found, value)| (found == kind).then_some(value))
}

/// A 32-bit number, in network byte order as nf_tables has all of its numbers.
pub(crate) fn number(bytes: &[u8], kind: u16) -> Option<u32> {
    Some(u32::from_be_bytes(*get(bytes, kind)?.first_chunk()?))
}

/// A 64-bit number.
pub(crate) fn long(bytes: &[u8], kind: u16) -> Option<u64> {
    Some(u64::from_be_bytes(*get(bytes, kind)?.first_chunk()?))
}

/// A text up to its zero.
pub(crate) fn text(bytes: &[u8], kind: u16) -> Option<String> {
    get(bytes, kind).map(until_zero)
}

/// What stands before the first zero.
pub(crate) fn until_zero(bytes: &[u8]) -> String {
    let end = bytes.iter().position(|byte| *byte == 0);
    String::from_utf8_lossy(&bytes[..end.unwrap_or(bytes.len())]).into_owned()
}
