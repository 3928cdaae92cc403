//! A name server that knows one answer: an address of TEST-NET-1 (RFC 5737) for every name, or at
//! times none. It asks nobody.

use std::net::UdpSocket;
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// What every name is, as the data of an A record.
const ADDRESS: [u8; 4] = [192, 0, 2, 53];

/// RFC 1035 4.1.1.
const HEADER: usize = 12;

/// The type A, of the class IN (RFC 1035 3.2).
const A_IN: [u8; 4] = [0, 1, 0, 1];

/// SERVFAIL in place of NOERROR (RFC 1035 4.1.1), with RA set.
const FAILED: u8 = 0x82;

/// Answers for ever; if `sometimes`, only in the first half of each second.
pub(crate) fn serve(socket: &UdpSocket, sometimes: bool) {
    let mut buffer = [0; 512];
    loop {
        match socket.recv_from(&mut buffer) {
            Ok((length, peer)) => {
                if let Some(answer) = answer(&buffer[..length], sometimes && is_second_half()) {
                    let _ = socket.send_to(&answer, peer);
                }
            }
            Err(_) => thread::sleep(Duration::from_millis(10)),
        }
    }
}

fn is_second_half() -> bool {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.is_ok_and(|since| since.subsec_millis() >= 500)
}

/// To a message with one question; none to anything else.
fn answer(message: &[u8], fails: bool) -> Option<Vec<u8>> {
    let header = message.get(..HEADER)?;
    // A query (QR 0) with exactly one question.
    if header[2] & 0x80 != 0 || header[4..6] != [0, 1] {
        return None;
    }
    let mut end = HEADER;
    while *message.get(end)? != 0 {
        // A label; in a question names are not compressed.
        end += 1 + usize::from(message[end]);
    }
    let kind = message.get(end + 1..end + 5)?;
    let answers = u8::from(kind == A_IN && !fails);
    // The id; QR and AA, and RD as it came; RA, whether it failed; one question, the answers.
    let code = if fails { FAILED } else { 0x80 };
    let mut answer = vec![message[0], message[1], 0x84 | (header[2] & 1), code];
    answer.extend([0, 1, 0, answers, 0, 0, 0, 0]);
    answer.extend(&message[HEADER..end + 5]);
    if answers == 1 {
        // The name of the question (a pointer to byte 12), A IN, a time to live of 0, four bytes.
        answer.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 0, 0, 4]);
        answer.extend(ADDRESS);
    }
    Some(answer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_gets_its_answer_and_anything_else_none() {
        let mut question = vec![7, 8, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
        question.extend(b"\x02db\x00\x00\x01\x00\x01");
        let given = answer(&question, false).unwrap();
        assert_eq!(given[..4], [7, 8, 0x85, 0x80]);
        assert_eq!(given[6..8], [0, 1]);
        assert!(given.ends_with(&ADDRESS));

        // AAAA: the name exists, without such a record.
        let at = question.len() - 3;
        question[at] = 28;
        let given = answer(&question, false).unwrap();
        assert_eq!(
            (given[6..8].to_vec(), given.len()),
            (vec![0, 0], question.len())
        );

        question[at] = 1;
        let given = answer(&question, true).unwrap();
        assert_eq!(
            (given[3], given[7], given.len()),
            (FAILED, 0, question.len())
        );

        for length in 0..question.len() {
            assert!(answer(&question[..length], false).is_none(), "{length}");
        }
        question[2] |= 0x80;
        assert!(answer(&question, false).is_none());
    }
}
