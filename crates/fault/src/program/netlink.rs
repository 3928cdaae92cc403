//! Builds and reads netlink messages, netlink(7): a header, then attributes that may nest. Reading
//! must never panic, whatever the bytes. Only the transport comes from a library; those that build
//! nftables messages are under the GPL, need a C library, or run `nft`.

use std::io;

use netlink_sys::{Socket, SocketAddr};

/// netlink(7).
pub(crate) const NLM_F_REQUEST: u16 = 1;
pub(crate) const NLM_F_ACK: u16 = 4;
pub(crate) const NLM_F_DUMP: u16 = 0x300;
pub(crate) const NLM_F_CREATE: u16 = 0x400;
pub(crate) const NLM_F_APPEND: u16 = 0x800;
const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
const NLA_F_NESTED: u16 = 0x8000;
/// Attribute types without the flags for nesting and byte order.
const NLA_TYPE_MASK: u16 = 0x3fff;

/// The length of a message header.
const HEADER: usize = 16;

/// A dump is sent in parts of at most 32 KiB (netlink_dump in the kernel).
const LARGEST_PART: usize = 64 * 1024;

/// A message, or several in a row, being written.
#[derive(Debug, Default)]
pub(crate) struct Writer {
    bytes: Vec<u8>,
}

impl Writer {
    /// Writes one message; the body is written by `body`.
    pub(crate) fn message(
        &mut self,
        kind: u16,
        flags: u16,
        sequence: u32,
        body: impl FnOnce(&mut Self),
    ) {
        let start = self.bytes.len();
        self.raw(&[0; 4]);
        self.raw(&kind.to_ne_bytes());
        self.raw(&flags.to_ne_bytes());
        self.raw(&sequence.to_ne_bytes());
        self.raw(&[0; 4]);
        body(self);
        let length = (self.bytes.len() - start) as u32;
        self.bytes[start..start + 4].copy_from_slice(&length.to_ne_bytes());
    }

    /// Bytes as they are.
    pub(crate) fn raw(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// An attribute, padded to four bytes.
    pub(crate) fn attribute(&mut self, kind: u16, value: &[u8]) {
        let length = (value.len() + 4) as u16;
        self.raw(&length.to_ne_bytes());
        self.raw(&kind.to_ne_bytes());
        self.raw(value);
        self.pad();
    }

    /// A number in network byte order, as nf_tables wants all of its numbers.
    pub(crate) fn number(&mut self, kind: u16, value: u32) {
        self.attribute(kind, &value.to_be_bytes());
    }

    /// A text that ends with a zero.
    pub(crate) fn text(&mut self, kind: u16, value: &str) {
        let mut bytes = value.as_bytes().to_vec();
        bytes.push(0);
        self.attribute(kind, &bytes);
    }

    /// An attribute made of attributes.
    pub(crate) fn nested(&mut self, kind: u16, body: impl FnOnce(&mut Self)) {
        let start = self.bytes.len();
        self.raw(&[0; 2]);
        self.raw(&(kind | NLA_F_NESTED).to_ne_bytes());
        body(self);
        let length = (self.bytes.len() - start) as u16;
        self.bytes[start..start + 2].copy_from_slice(&length.to_ne_bytes());
    }

    /// Sets more flags in the header of the message that begins at this byte.
    pub(crate) fn add_flags(&mut self, start: usize, flags: u16) {
        if let Some(field) = self.bytes.get_mut(start + 6..start + 8) {
            let both = u16::from_ne_bytes([field[0], field[1]]) | flags;
            field.copy_from_slice(&both.to_ne_bytes());
        }
    }

    /// What was written.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    fn pad(&mut self) {
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }
}

/// One message as it came.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Message<'a> {
    pub(crate) kind: u16,
    pub(crate) sequence: u32,
    pub(crate) body: &'a [u8],
}

/// The messages in what one receive gave; ends where they are no longer readable.
pub(crate) fn messages(mut bytes: &[u8]) -> impl Iterator<Item = Message<'_>> {
    std::iter::from_fn(move || {
        let length = u32::from_ne_bytes(*bytes.first_chunk()?) as usize;
        let message = Message {
            kind: u16::from_ne_bytes(*bytes.get(4..)?.first_chunk()?),
            sequence: u32::from_ne_bytes(*bytes.get(8..)?.first_chunk()?),
            body: bytes.get(HEADER..length)?,
        };
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some(message)
    })
}

/// The attributes in a body, with their types; ends where they are no longer readable.
pub(crate) fn attributes(mut bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    std::iter::from_fn(move || {
        let length = usize::from(u16::from_ne_bytes(*bytes.first_chunk()?));
        let kind = u16::from_ne_bytes(*bytes.get(2..)?.first_chunk()?) & NLA_TYPE_MASK;
        let value = bytes.get(4..length)?;
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some((kind, value))
    })
}

/// The value of the first attribute of this type.
pub(crate) fn attribute(bytes: &[u8], kind: u16) -> Option<&[u8]> {
    attributes(bytes).find_map(|(found, value)| (found == kind).then_some(value))
}

/// Opens a socket that talks to the kernel.
pub(crate) fn open(protocol: isize) -> io::Result<Socket> {
    let socket = Socket::new(protocol)?;
    socket.connect(&SocketAddr::new(0, 0))?;
    Ok(socket)
}

/// What the kernel said of one request: its sequence number and an errno, or none for "done".
pub(crate) fn verdict(message: &Message<'_>) -> Option<(u32, Option<io::Error>)> {
    if message.kind != NLMSG_ERROR {
        return None;
    }
    let code = i32::from_ne_bytes(*message.body.first_chunk()?);
    let error = (code != 0).then(|| io::Error::from_raw_os_error(code.saturating_neg()));
    Some((message.sequence, error))
}

/// Hands on the body of each message that answers a dump request.
pub(crate) fn dump(
    socket: &Socket,
    kind: u16,
    body: &[u8],
    mut each: impl FnMut(&[u8]),
) -> io::Result<()> {
    const SEQUENCE: u32 = 1;
    let mut request = Writer::default();
    request.message(kind, NLM_F_REQUEST | NLM_F_DUMP, SEQUENCE, |writer| {
        writer.raw(body);
    });
    socket.send(request.bytes(), 0)?;
    let mut part = Vec::with_capacity(LARGEST_PART);
    loop {
        part.clear();
        if socket.recv(&mut part, 0)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        for message in messages(&part) {
            match verdict(&message) {
                Some((_, Some(error))) => return Err(error),
                Some((_, None)) => return Ok(()),
                None if message.kind == NLMSG_DONE => return Ok(()),
                None => each(message.body),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_can_be_read() {
        let mut writer = Writer::default();
        writer.message(7, 1, 3, |writer| {
            writer.text(1, "abcd");
            writer.nested(2, |writer| writer.number(5, 9));
        });
        writer.message(8, 1, 4, |_| {});
        let read: Vec<_> = messages(writer.bytes()).collect();
        assert_eq!(read.len(), 2);
        assert_eq!((read[0].kind, read[0].sequence), (7, 3));
        assert_eq!(attribute(read[0].body, 1), Some(b"abcd\0".as_slice()));
        let nested = attribute(read[0].body, 2).unwrap();
        assert_eq!(attribute(nested, 5), Some([0, 0, 0, 9].as_slice()));
        assert_eq!((read[1].kind, read[1].body), (8, [].as_slice()));
    }

    #[test]
    fn nothing_cut_short_or_mad_is_read_or_panics() {
        let mut writer = Writer::default();
        writer.message(7, 1, 3, |writer| writer.text(1, "abcd"));
        let whole = writer.bytes();
        for end in 0..whole.len() {
            assert_eq!(messages(&whole[..end]).count(), 0, "cut at {end}");
        }
        for length in 0..=255 {
            let mut mad = whole.to_vec();
            mad[0] = length;
            let read: usize = messages(&mad).map(|m| attributes(m.body).count()).sum();
            assert!(read <= 1, "{mad:?}");
            let mut mad = whole.to_vec();
            mad[16] = length;
            let read: usize = messages(&mad).map(|m| attributes(m.body).count()).sum();
            assert!(read <= 1, "{mad:?}");
        }
    }
}
