//! A second engine in a network namespace of its own, for what would disturb the machine's: firewalls,
//! sysctls, flags of the daemon. A test runs in it by running its own program again, inside.
//!
//! Nothing of the machine's own network is touched. The engine ends with this process, however it ends:
//! its keeper waits for the end of a pipe.

#![allow(dead_code, reason = "each test program uses a part of it")]

pub mod names;

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::os::fd::AsFd as _;
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use tempfile::TempDir;

/// Set where a test runs inside: the process that is the machine on the same LAN.
const LAN: &str = "NETCHECK_TEST_LAN";

/// The words, as JSON, in front of a command that run it among another engine's own files, so that the private
/// engine is of that one's version. Without: the machine's `dockerd`. Only /tmp is the same for both.
const AMONG: &str = "NETCHECK_TEST_AMONG";

/// Set where a test runs inside, and the engine is podman.
const ON_PODMAN: &str = "NETCHECK_TEST_ON_PODMAN";

/// The other machine's address on the LAN, from the engine's host by `lan0`.
pub const NEIGHBOUR: &str = "10.221.0.9";

/// An engine takes three seconds to be up, and more on a loaded machine.
const UP: Duration = Duration::from_secs(60);

/// Makes the two namespaces, starts the engine in one, and ends all when its input ends. It is run in a
/// mount namespace of its own, so that no mount of the engine is left.
const KEEPER: &str = r#"
    set -e
    mount -t tmpfs none /run
    [ ! -e $FOLDER/resolv.conf ] || mount --bind $FOLDER/resolv.conf /etc/resolv.conf
    if [ -n "$PODMAN" ]; then
        # Its locks; its networks, which would be those of the other podman there.
        mount -t tmpfs none /dev/shm
        mkdir $FOLDER/networks
        # It has no flag for name servers.
        [ -e $FOLDER/resolv.conf ] || {
            echo nameserver 10.221.0.9 > /run/resolv.conf
            mount --bind /run/resolv.conf /etc/resolv.conf
        }
    fi
    unshare -n sleep infinity & lan=$!
    trap 'kill $lan 2> /dev/null' EXIT
    until [ "$(readlink /proc/$lan/ns/net)" != "$(readlink /proc/self/ns/net)" ]; do sleep 0.02; done
    ip link set lo up
    ip link add lan0 type veth peer name eth0 netns $lan
    ip addr add 10.221.0.1/24 dev lan0; ip link set lan0 up
    nsenter -t $lan -n ip link set lo up
    nsenter -t $lan -n ip addr add 10.221.0.9/24 dev eth0
    nsenter -t $lan -n ip link set eth0 up
    ip route add default via 10.221.0.9
    # A pool of the flags' own is the only one.
    case "$FLAGS" in
        *--default-address-pool*) pool= ;;
        *) pool="--default-address-pool base=10.223.0.0/16,size=24" ;;
    esac
    podman="podman --root $FOLDER/data --network-config-dir $FOLDER/networks"
    start() {
        if [ -n "$PODMAN" ]; then
            exec $podman system service --time 0 unix://$FOLDER/docker.sock
        else
            exec dockerd --config-file $FOLDER/daemon.json -H unix://$FOLDER/docker.sock \
                --data-root $FOLDER/data --exec-root /run/docker --pidfile $FOLDER/pid \
                --bip 10.222.0.1/24 $DNS $pool $FLAGS
        fi >> $FOLDER/log 2>&1 < /dev/null &
        engine=$!
    }
    start
    echo $$ $lan
    # A line asks for a new start, as systemctl restart docker does.
    while read -r _; do kill $engine; wait $engine || true; start; done
    # Its containers do not end with it.
    [ -z "$PODMAN" ] || $podman rm --all --force --time 0 >> $FOLDER/log 2>&1 || true
    kill $engine; wait $engine || true
    rm -rf "$FOLDER"
"#;

/// Runs its arguments where /etc/resolv.conf is this one, if there is one.
const WITH_RESOLV_CONF: &str = r#"[ ! -e "$0" ] || mount --bind "$0" /etc/resolv.conf; exec "$@""#;

/// A running engine.
struct Engine {
    folder: PathBuf,
    keeper: Child,
    /// Its end is the engine's.
    input: Option<ChildStdin>,
    /// The processes of the two namespaces.
    host: u32,
    lan: u32,
    is_podman: bool,
}

/// One for all tests of a program: they take turns, as they change the same firewall.
static ENGINE: OnceLock<Mutex<Engine>> = OnceLock::new();

/// Runs the body inside. `test` is the test's own name.
pub fn inside(test: &str, body: impl FnOnce()) {
    if std::env::var_os(LAN).is_some() {
        names::say(NEIGHBOUR, names::Says::NoSuchName);
        body();
        return;
    }
    let engine = ENGINE.get_or_init(|| Mutex::new(Engine::start("", None)));
    let mut engine = engine.lock().unwrap_or_else(PoisonError::into_inner);
    engine.run(test);
}

/// The same in an engine of its own, which is started with these flags.
pub fn inside_with(flags: &str, test: &str, body: impl FnOnce()) {
    if std::env::var_os(LAN).is_some() {
        names::say(NEIGHBOUR, names::Says::NoSuchName);
        body();
        return;
    }
    Engine::start(flags, None).run(test);
}

/// The same in an engine of its own, which is told of no name server: its host has this /etc/resolv.conf.
pub fn inside_resolving(resolv_conf: &str, test: &str, body: impl FnOnce()) {
    if std::env::var_os(LAN).is_some() {
        names::say(NEIGHBOUR, names::Says::NoSuchName);
        body();
        return;
    }
    Engine::start("", Some(resolv_conf)).run(test);
}

impl Engine {
    fn start(flags: &str, resolv_conf: Option<&str>) -> Self {
        // The keeper removes it: what is in a static is never dropped.
        let folder = TempDir::new().unwrap().keep();
        // Not the machine's own, whose words could be said twice.
        fs::write(folder.join("daemon.json"), "{}").unwrap();
        let dns = match resolv_conf {
            Some(text) => {
                fs::write(folder.join("resolv.conf"), text).unwrap();
                String::new()
            }
            None => format!("--dns {NEIGHBOUR}"),
        };
        let among: Vec<String> = std::env::var(AMONG)
            .map(|words| serde_json::from_str(&words).unwrap())
            .unwrap_or_default();
        let is_podman = is_podman();
        // As words, for a variable may not come through.
        let settings = [
            format!("FOLDER={}", folder.display()),
            format!("FLAGS={flags}"),
            format!("DNS={dns}"),
            format!("PODMAN={}", if is_podman { "yes" } else { "" }),
        ];
        let words = among.iter().map(String::as_str).chain(["env"]);
        let mut words = words
            .chain(settings.iter().map(String::as_str))
            .chain(["unshare", "-n", "-m", "sh", "-c", KEEPER]);
        let mut keeper = Command::new(words.next().unwrap())
            .args(words)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("env(1) and unshare(1), of util-linux, start");
        let input = keeper.stdin.take();
        let mut said = String::new();
        BufReader::new(keeper.stdout.take().unwrap())
            .read_line(&mut said)
            .unwrap();
        let pids: Vec<u32> = said
            .split_whitespace()
            .map(|pid| pid.parse().unwrap())
            .collect();
        let [host, lan] = pids[..] else {
            panic!("no private engine: it takes root, dockerd, iproute2 and util-linux: {said:?}");
        };
        let engine = Self {
            folder,
            keeper,
            input,
            host,
            lan,
            is_podman,
        };
        engine.wait();
        engine
    }

    fn socket(&self) -> PathBuf {
        self.folder.join("docker.sock")
    }

    fn wait(&self) {
        let started = Instant::now();
        let socket = format!("unix://{}", self.socket().display());
        let version = loop {
            if let Some(version) = version_of(Some(&socket)) {
                break version;
            }
            if started.elapsed() > UP {
                let log = fs::read_to_string(self.folder.join("log")).unwrap_or_default();
                panic!("the private engine does not answer:\n{log}");
            }
            thread::sleep(Duration::from_millis(100));
        };
        // What is recorded of that engine is of no other.
        if std::env::var_os(AMONG).is_some() {
            assert_eq!(
                Some(version),
                version_of(None),
                "the private engine's version"
            );
        }
    }

    /// Runs one test of this program inside. What it prints is shown where it fails.
    fn run(&mut self, test: &str) {
        let fifo = self.folder.join("restart");
        // What a fix calls is there, and is the same: a new start of this engine.
        let bin = self.folder.join("bin");
        fs::create_dir_all(&bin).unwrap();
        let shim = bin.join("systemctl");
        fs::write(
            &shim,
            format!(
                "#!/bin/sh\n[ \"$*\" = 'restart docker' ] || exit 1\n: > {0}\nwhile [ -e {0} ]; do sleep 0.05; done\n",
                fifo.display()
            ),
        )
        .unwrap();
        let mode = || std::os::unix::fs::PermissionsExt::from_mode(0o755);
        fs::set_permissions(&shim, mode()).unwrap();
        if self.is_podman {
            let shim = bin.join("podman");
            let (host, folder) = (self.host, self.folder.display());
            let text = format!(
                "#!/bin/sh\nunset CONTAINER_HOST\nexec nsenter -t {host} -m -- /usr/bin/podman --root {folder}/data \
                 --network-config-dir {folder}/networks \"$@\"\n"
            );
            fs::write(&shim, text).unwrap();
            fs::set_permissions(&shim, mode()).unwrap();
        }
        let path = std::env::var("PATH").unwrap_or_default();
        let mut child = Command::new("nsenter")
            .args(["-t", &self.host.to_string(), "-n", "--"])
            // The host's /etc/resolv.conf, which whoever is on that host sees; not all its files, among which the
            // test is perhaps not.
            .args(["unshare", "-m", "sh", "-ec", WITH_RESOLV_CONF])
            .arg(self.folder.join("resolv.conf"))
            .arg(std::env::current_exe().unwrap())
            .args([test, "--exact", "--nocapture", "--test-threads=1"])
            .env("DOCKER_HOST", format!("unix://{}", self.socket().display()))
            .env("PATH", format!("{}:{path}", bin.display()))
            .env(LAN, self.lan.to_string())
            .envs(self.is_podman.then_some((ON_PODMAN, "yes")))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut out = child.stdout.take().unwrap();
        let mut err = child.stderr.take().unwrap();
        let read = |pipe: &mut dyn std::io::Read| {
            let mut text = Vec::new();
            let _ = pipe.read_to_end(&mut text);
            String::from_utf8_lossy(&text).into_owned()
        };
        let out = thread::spawn(move || read(&mut out));
        let err = thread::spawn(move || read(&mut err));
        let status = loop {
            if let Some(status) = child.try_wait().unwrap() {
                break status;
            }
            if fifo.exists() {
                if let Some(input) = &mut self.input {
                    input.write_all(b"restart\n").unwrap();
                }
                // The old one answers until it has ended.
                thread::sleep(Duration::from_secs(1));
                self.wait();
                fs::remove_file(&fifo).unwrap();
            }
            thread::sleep(Duration::from_millis(20));
        };
        let (out, err) = (out.join().unwrap(), err.join().unwrap());
        // Set in, so that whoever counts results counts this test once.
        let shown = format!("{out}\n{err}").replace('\n', "\n  | ");
        assert!(
            status.success() && out.contains("1 passed"),
            "inside the private engine:\n  | {shown}"
        );
    }
}

/// Inside: whether the engine is podman, which has no chain for one's own rules and writes native nftables.
pub fn on_podman() -> bool {
    std::env::var_os(ON_PODMAN).is_some()
}

/// A text about DOCKER-USER, for the chain that has one's own rules there: podman has none but FORWARD.
pub fn own_chain(text: &str) -> String {
    let chain = if on_podman() {
        "FORWARD"
    } else {
        "DOCKER-USER"
    };
    text.replace("DOCKER-USER", chain)
}

/// Whether the engine among whose files the private one runs is podman.
fn is_podman() -> bool {
    std::env::var_os(AMONG).is_some()
        && asked(None, "{{json .Server.Components}}").is_some_and(|all| all.contains("Podman"))
}

/// What the engine at this socket, or the one of the environment, says of itself; none where it does not answer.
fn version_of(socket: Option<&str>) -> Option<String> {
    asked(socket, "{{.Server.Version}}")
}

fn asked(socket: Option<&str>, format: &str) -> Option<String> {
    let mut docker = Command::new("docker");
    docker.args(["version", "--format", format]);
    if let Some(socket) = socket {
        docker.env("DOCKER_HOST", socket);
    }
    let output = docker.output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    (output.status.success() && !said.is_empty()).then_some(said)
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.input = None;
        let _ = self.keeper.wait();
    }
}

/// Runs a command of the host there, which must succeed.
#[track_caller]
pub fn sh(script: &str) -> String {
    let output = Command::new("sh").args(["-ec", script]).output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{script}: {errors}");
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

/// A command that runs on the other machine of the LAN.
pub fn from_lan(program: &str) -> Command {
    let mut command = Command::new("nsenter");
    command.args(["-t", &lan(), "-n", "--", program]);
    command
}

/// Listens on the other machine of the LAN, until the listener goes.
pub fn listen_on_lan(port: u16) -> TcpListener {
    listen_on_lan_at(&format!("{NEIGHBOUR}:{port}"))
}

/// The same on another address that it has.
pub fn listen_on_lan_at(address: &str) -> TcpListener {
    let address = address.to_owned();
    on_lan(move || TcpListener::bind(address).unwrap())
}

/// Runs a command of the other machine there, which must succeed.
#[track_caller]
pub fn sh_on_lan(script: &str) -> String {
    let output = from_lan("sh").args(["-ec", script]).output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{script}: {errors}");
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

/// The process whose namespace is the other machine's.
pub fn lan() -> String {
    std::env::var(LAN).unwrap()
}

/// Writes the engine's configuration; it counts from the next start on.
pub fn configure(json: &str) {
    let socket = std::env::var("DOCKER_HOST").unwrap();
    let socket = PathBuf::from(socket.trim_start_matches("unix://"));
    fs::write(socket.with_file_name("daemon.json"), json).unwrap();
}

/// Makes something there: a socket stays in the namespace in which it was made.
pub fn on_lan<T: Send + 'static>(make: impl FnOnce() -> T + Send + 'static) -> T {
    inside_of(lan(), make)
}

/// The same in the namespace of a process.
pub fn inside_of<T: Send + 'static>(
    process: String,
    make: impl FnOnce() -> T + Send + 'static,
) -> T {
    thread::spawn(move || {
        let namespace = File::open(format!("/proc/{process}/ns/net")).unwrap();
        let network = Some(LinkNameSpaceType::Network);
        move_into_link_name_space(namespace.as_fd(), network).unwrap();
        make()
    })
    .join()
    .unwrap()
}
