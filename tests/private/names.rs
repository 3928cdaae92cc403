//! Name servers on the other machine of the LAN, and on the engine's host: they say what a test wants, and
//! remember what they were asked.

#![allow(dead_code, reason = "each test program uses a part of it")]

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, UdpSocket};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use super::on_lan;

/// What a server makes of any question.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Says {
    /// NXDOMAIN, as one that knows no name.
    NoSuchName,
    /// SERVFAIL.
    Failed,
    /// REFUSED.
    Refused,
    /// It takes the question and stays silent.
    Nothing,
    /// This address, for every name.
    Always(Ipv4Addr),
    /// Nobody is on the port.
    Gone,
}

/// How soon a server sees that it has to go.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// RFC 1035 4.1.1.
const HEADER: usize = 12;

struct Server {
    says: Arc<Mutex<Says>>,
    asked: Arc<Mutex<Vec<String>>>,
    thread: JoinHandle<()>,
}

static SERVERS: Mutex<BTreeMap<IpAddr, Server>> = Mutex::new(BTreeMap::new());

/// From now on the server at this address says that. It is on the LAN, or on the host where the address is
/// a loopback one.
pub fn say(address: &str, what: Says) {
    let address: IpAddr = address.parse().unwrap();
    let mut servers = SERVERS.lock().unwrap_or_else(PoisonError::into_inner);
    if what == Says::Gone {
        if let Some(server) = servers.remove(&address) {
            *server.says.lock().unwrap() = what;
            server.thread.join().unwrap();
        }
        return;
    }
    if let Some(server) = servers.get(&address) {
        *server.says.lock().unwrap() = what;
        return;
    }
    let bind = move || UdpSocket::bind((address, 53)).unwrap();
    let socket = if address.is_loopback() {
        bind()
    } else {
        on_lan(bind)
    };
    socket.set_read_timeout(Some(LOOK_EVERY)).unwrap();
    let says = Arc::new(Mutex::new(what));
    let asked = Arc::new(Mutex::new(Vec::new()));
    let thread = {
        let (says, asked) = (says.clone(), asked.clone());
        thread::spawn(move || serve(&socket, &says, &asked))
    };
    servers.insert(
        address,
        Server {
            says,
            asked,
            thread,
        },
    );
}

/// The names that the server at this address was asked for so far.
pub fn asked(address: &str) -> Vec<String> {
    let address: IpAddr = address.parse().unwrap();
    let servers = SERVERS.lock().unwrap_or_else(PoisonError::into_inner);
    servers[&address].asked.lock().unwrap().clone()
}

fn serve(socket: &UdpSocket, says: &Mutex<Says>, asked: &Mutex<Vec<String>>) {
    let mut room = [0; 1500];
    loop {
        let got = socket.recv_from(&mut room);
        let what = *says.lock().unwrap();
        if what == Says::Gone {
            return;
        }
        let Ok((length, from)) = got else {
            continue;
        };
        if let Some((name, answer)) = answer(&room[..length], what) {
            asked.lock().unwrap().push(name);
            if what != Says::Nothing {
                let _ = socket.send_to(&answer, from);
            }
        }
    }
}

/// The name of the question, and what to answer.
fn answer(message: &[u8], what: Says) -> Option<(String, Vec<u8>)> {
    let mut labels = Vec::new();
    let mut end = HEADER;
    loop {
        let length = usize::from(*message.get(end)?);
        if length == 0 {
            break;
        }
        let label = message.get(end + 1..end + 1 + length)?;
        labels.push(String::from_utf8_lossy(label).into_owned());
        end += 1 + length;
    }
    let kind = message.get(end + 1..end + 5)?;
    let code = match what {
        Says::Failed => 2,
        Says::NoSuchName => 3,
        Says::Refused => 5,
        Says::Nothing | Says::Always(_) | Says::Gone => 0,
    };
    let address = match what {
        Says::Always(address) if kind == [0, 1, 0, 1] => Some(address),
        _ => None,
    };
    // A response to one question, recursion available, and at most one answer.
    let mut answer = vec![message[0], message[1], message[2] | 0x80, 0x80 | code];
    answer.extend([0, 1, 0, u8::from(address.is_some()), 0, 0, 0, 0]);
    answer.extend(&message[HEADER..end + 5]);
    if let Some(address) = address {
        answer.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 0, 0, 4]);
        answer.extend(address.octets());
    }
    Some((labels.join("."), answer))
}
