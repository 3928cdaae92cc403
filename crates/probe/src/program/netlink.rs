//! Asks the kernel over netlink, one dump at a time. Only dumps: no request made here can change
//! anything.

use std::convert::Infallible;
use std::io;

use netlink_packet_core::{
    Emitable, NLM_F_DUMP, NLM_F_DUMP_INTR, NLM_F_REQUEST, NetlinkDeserializable, NetlinkHeader,
    NetlinkMessage, NetlinkPayload, NetlinkSerializable,
};
use netlink_sys::{Socket, SocketAddr};

/// Messages of one dump that are kept at most; a namespace with more cannot be judged anyway.
const MOST_MESSAGES: usize = 10_000;

/// A dump is sent in parts of at most 32 KiB (netlink_dump in the kernel).
const LARGEST_PART: usize = 64 * 1024;

/// The body of a message, still undecoded: what cannot be decoded must not cost the others.
struct Body {
    kind: u16,
    bytes: Vec<u8>,
}

impl NetlinkSerializable for Body {
    fn message_type(&self) -> u16 {
        self.kind
    }

    fn buffer_len(&self) -> usize {
        self.bytes.len()
    }

    fn serialize(&self, buffer: &mut [u8]) {
        buffer.copy_from_slice(&self.bytes);
    }
}

impl NetlinkDeserializable for Body {
    type Error = Infallible;

    fn deserialize(header: &NetlinkHeader, payload: &[u8]) -> Result<Self, Infallible> {
        Ok(Self {
            kind: header.message_type,
            bytes: payload.to_vec(),
        })
    }
}

/// All messages that answer a dump request of type `kind` with the given fixed header.
pub(crate) fn dump(
    protocol: isize,
    kind: u16,
    request: &impl Emitable,
) -> io::Result<Vec<Vec<u8>>> {
    let mut bytes = vec![0; request.buffer_len()];
    request.emit(&mut bytes);
    // An interrupted dump may lack entries; after three of them the table never rests.
    let mut last = Vec::new();
    for _ in 0..3 {
        let (messages, interrupted) = dump_once(protocol, kind, bytes.clone())?;
        last = messages;
        if !interrupted {
            break;
        }
    }
    Ok(last)
}

fn dump_once(protocol: isize, kind: u16, bytes: Vec<u8>) -> io::Result<(Vec<Vec<u8>>, bool)> {
    let socket = Socket::new(protocol)?;
    socket.connect(&SocketAddr::new(0, 0))?;
    let mut request = NetlinkMessage::new(
        NetlinkHeader::default(),
        NetlinkPayload::InnerMessage(Body { kind, bytes }),
    );
    request.header.flags = NLM_F_REQUEST | NLM_F_DUMP;
    request.finalize();
    let mut buffer = vec![0; request.buffer_len()];
    request.serialize(&mut buffer);
    socket.send(&buffer, 0)?;

    let mut messages = Vec::new();
    let mut interrupted = false;
    let mut part = Vec::with_capacity(LARGEST_PART);
    loop {
        part.clear();
        socket.recv(&mut part, 0)?;
        let mut rest = part.as_slice();
        if rest.is_empty() {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof));
        }
        while !rest.is_empty() {
            let message = NetlinkMessage::<Body>::deserialize(rest).map_err(|error| {
                io::Error::other(format!("unreadable netlink message: {error}"))
            })?;
            interrupted |= message.header.flags & NLM_F_DUMP_INTR != 0;
            match message.payload {
                NetlinkPayload::InnerMessage(body) => messages.push(body.bytes),
                NetlinkPayload::Done(done) if done.code < 0 => return Err(raw(done.code)),
                NetlinkPayload::Done(_) => return Ok((messages, interrupted)),
                NetlinkPayload::Error(error) => {
                    return Err(raw(error.code.map_or(0, std::num::NonZero::get)));
                }
                _ => {}
            }
            if messages.len() >= MOST_MESSAGES {
                return Ok((messages, interrupted));
            }
            let length = (message.header.length as usize).next_multiple_of(4);
            rest = rest.get(length.max(16)..).unwrap_or_default();
        }
    }
}

fn raw(code: i32) -> io::Error {
    io::Error::from_raw_os_error(code.saturating_neg())
}
