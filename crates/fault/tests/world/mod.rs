//! Two namespaces, `a` and `b`, on a bridge in a third, as Docker wires containers, and the built
//! program. Needs root, `ip` and `nft`; without them every test fails, none is skipped.

#![allow(dead_code, reason = "each test program uses a part of it")]
#![allow(
    unreachable_pub,
    reason = "a module of test programs has no other public"
)]
#![allow(clippy::unwrap_used, reason = "a helper of a test fails like the test")]

use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::AsRawFd as _;
use std::os::unix::process::CommandExt as _;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use netcheck_fault::{Answer, Applied, Counters, Fault, Order, Request, Response};
use socket2::{Domain, Socket, Type};

/// Of `a`, which makes the faults, and of `b`, its peer.
pub const A: [&str; 2] = ["10.9.0.1", "fd09::1"];
pub const B: [&str; 2] = ["10.9.0.2", "fd09::2"];

/// Where `b` echoes, over TCP and UDP.
pub const ECHO: u16 = 7;

/// Longer than anything here takes on a busy machine; only a failure lasts so long.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// The namespaces, removed at the end.
pub struct World {
    tag: String,
}

impl World {
    /// Makes them, with an echo server in `b`.
    pub fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let world = Self {
            tag: format!("nf{}-{count}", std::process::id()),
        };
        for name in ["s", "a", "b"] {
            ip(&["netns", "add", &world.name(name)]);
            world.ip(name, "link set lo up");
        }
        world.ip("s", "link add br0 type bridge");
        world.ip("s", "link set br0 up");
        for (name, addresses) in [("a", A), ("b", B)] {
            let switch = world.name("s");
            let link = format!("link add eth0 type veth peer name v{name} netns {switch}");
            world.ip(name, &link);
            world.ip("s", &format!("link set v{name} master br0 up"));
            world.ip(name, "link set eth0 up");
            world.ip(name, &format!("addr add {}/24 dev eth0", addresses[0]));
            world.ip(
                name,
                &format!("addr add {}/64 dev eth0 nodad", addresses[1]),
            );
        }
        world.echo();
        world
    }

    fn name(&self, short: &str) -> String {
        format!("{}-{short}", self.tag)
    }

    /// Runs `ip` in a namespace; its output.
    pub fn ip(&self, namespace: &str, words: &str) -> String {
        let name = self.name(namespace);
        let mut all = vec!["-n", &name];
        all.extend(words.split(' '));
        ip(&all)
    }

    /// All rules of `a`.
    pub fn ruleset(&self) -> String {
        self.inside("a", || run(Command::new("nft").args(["list", "ruleset"])))
    }

    /// Runs something on a thread in a namespace.
    pub fn inside<T: Send>(&self, namespace: &str, work: impl FnOnce() -> T + Send) -> T {
        let path = format!("/run/netns/{}", self.name(namespace));
        thread::scope(|scope| {
            scope
                .spawn(|| {
                    enter(&path);
                    work()
                })
                .join()
                .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }

    /// Leaves something running in a namespace until the test ends.
    pub fn leave(&self, namespace: &str, work: impl FnOnce() + Send + 'static) {
        let path = format!("/run/netns/{}", self.name(namespace));
        thread::spawn(move || {
            enter(&path);
            work();
        });
    }

    fn echo(&self) {
        let (tcp, udp) = self.inside("b", || {
            let at = SocketAddr::new("::".parse().unwrap(), ECHO);
            (TcpListener::bind(at).unwrap(), UdpSocket::bind(at).unwrap())
        });
        thread::spawn(move || {
            for stream in tcp.incoming() {
                let stream = stream.unwrap();
                thread::spawn(move || {
                    let _ = std::io::copy(&mut &stream, &mut &stream);
                });
            }
        });
        thread::spawn(move || {
            let mut buffer = [0; 2048];
            while let Ok((length, from)) = udp.recv_from(&mut buffer) {
                // A fault that refuses shows here as an error.
                let _ = udp.send_to(&buffer[..length], from);
            }
        });
    }

    /// A connection from `a` to the echo server of `b`, by a call that blocks; or why there is none,
    /// and after which time.
    pub fn connect(&self, to: &str) -> Result<TcpStream, (std::io::Error, Duration)> {
        self.connect_by(to, |to| TcpStream::connect(to))
    }

    /// The same by a socket that does not block, which the kernel treats differently.
    pub fn connect_within(
        &self,
        to: &str,
        patience: Duration,
    ) -> Result<TcpStream, (std::io::Error, Duration)> {
        self.connect_by(to, |to| TcpStream::connect_timeout(to, patience))
    }

    fn connect_by(
        &self,
        to: &str,
        connect: impl FnOnce(&SocketAddr) -> std::io::Result<TcpStream> + Send,
    ) -> Result<TcpStream, (std::io::Error, Duration)> {
        let to = SocketAddr::new(to.parse().unwrap(), ECHO);
        self.inside("a", || {
            let start = Instant::now();
            let stream = connect(&to);
            let stream = stream.map_err(|error| (error, start.elapsed()))?;
            stream.set_nodelay(true).unwrap();
            stream.set_read_timeout(Some(PATIENCE)).unwrap();
            Ok(stream)
        })
    }

    /// A UDP socket of `a` that is connected to the echo server of `b`.
    pub fn udp(&self, to: &str) -> UdpSocket {
        let to = SocketAddr::new(to.parse().unwrap(), ECHO);
        self.inside("a", || {
            let socket = Socket::new(Domain::for_address(to), Type::DGRAM, None).unwrap();
            socket.connect(&to.into()).unwrap();
            let socket = UdpSocket::from(socket);
            socket.set_read_timeout(Some(PATIENCE)).unwrap();
            socket
        })
    }

    /// Starts the program in a namespace.
    pub fn program(&self, namespace: &str) -> Program {
        let path = format!("/run/netns/{}", self.name(namespace));
        let mut command = Command::new(env!("CARGO_BIN_EXE_netcheck-fault"));
        let namespace = File::open(path).unwrap();
        // SAFETY: setns(2) is a plain system call, which is safe after fork.
        unsafe { command.pre_exec(move || set_namespace(&namespace)) };
        Program::start(&mut command)
    }

    /// Starts it in `a` and makes a fault.
    pub fn make(&self, fault: Fault) -> Program {
        let mut program = self.program("a");
        let answer = program.ask(Order::Make(fault));
        let applied = Applied {
            healed_when_killed: true,
        };
        assert_eq!(answer, Answer::Applied(applied));
        program
    }
}

impl Drop for World {
    fn drop(&mut self) {
        for name in ["a", "b", "s"] {
            let name = self.name(name);
            let _ = Command::new("ip").args(["netns", "del", &name]).status();
        }
    }
}

fn enter(path: &str) {
    set_namespace(&File::open(path).unwrap()).unwrap();
}

fn set_namespace(namespace: &File) -> std::io::Result<()> {
    // SAFETY: the descriptor is open.
    match unsafe { libc::setns(namespace.as_raw_fd(), libc::CLONE_NEWNET) } {
        0 => Ok(()),
        _ => Err(std::io::Error::last_os_error()),
    }
}

fn ip(words: &[&str]) -> String {
    run(Command::new("ip").args(words))
}

pub fn run(command: &mut Command) -> String {
    let output = command
        .output()
        .expect("these tests need root, and the commands `ip` and `nft`");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {stderr}");
    String::from_utf8(output.stdout).unwrap()
}

/// A program with open pipes, killed at the end of the test.
pub struct Program {
    pub child: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
}

impl Program {
    pub fn start(command: &mut Command) -> Self {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        Self {
            input: child.stdin.take(),
            output: BufReader::new(child.stdout.take().unwrap()),
            child,
        }
    }

    pub fn say(&mut self, line: &[u8]) {
        self.input.as_mut().unwrap().write_all(line).unwrap();
    }

    pub fn hear(&mut self) -> Answer {
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        serde_json::from_str::<Response>(&line).unwrap().answer
    }

    pub fn ask(&mut self, order: Order) -> Answer {
        let mut line = serde_json::to_vec(&Request::new(order)).unwrap();
        line.push(b'\n');
        self.say(&line);
        self.hear()
    }

    pub fn counters(&mut self) -> Counters {
        match self.ask(Order::Counters) {
            Answer::Counters(counters) => counters,
            other => panic!("{other:?}"),
        }
    }

    pub fn heal(&mut self) -> Counters {
        match self.ask(Order::Heal) {
            Answer::Healed(counters) => counters,
            other => panic!("{other:?}"),
        }
    }

    /// Closes its input and waits for its end; the exit code.
    pub fn end(&mut self) -> Option<i32> {
        self.input = None;
        self.child.wait().unwrap().code()
    }

    /// Sends a signal and waits for its end; the exit code, none if the signal ended it.
    pub fn signal(&mut self, signal: libc::c_int) -> Option<i32> {
        // SAFETY: kill(2) takes any number; the child has not been waited for.
        unsafe { libc::kill(self.child.id() as libc::pid_t, signal) };
        self.child.wait().unwrap().code()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Sends some bytes on an established connection and reads them back; the time it took.
pub fn echoed(mut stream: &TcpStream, bytes: &[u8]) -> Duration {
    let start = Instant::now();
    stream.write_all(bytes).unwrap();
    let mut back = vec![0; bytes.len()];
    stream.read_exact(&mut back).unwrap();
    assert_eq!(back, bytes);
    start.elapsed()
}

/// Both addresses of a side.
pub fn addresses(of: [&str; 2]) -> Vec<IpAddr> {
    of.iter().map(|address| address.parse().unwrap()).collect()
}
