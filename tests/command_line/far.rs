//! Engines that the docker CLI connects to for us: TLS with and without verification, client
//! certificates, ssh. The TLS is real, and so is the engine behind it.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use tempfile::TempDir;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::{RootCertStore, ServerConfig, crypto::ring};

use super::call::{Ended, netcheck, run};
use super::world::World;
use super::{Cli, context, created};

/// The machine's engine behind TLS, and files for those who connect to it.
struct Tls {
    host: String,
    files: TempDir,
}

impl Tls {
    fn new() -> Self {
        let files = TempDir::new().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let ca = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let signed = |name: &str| {
            let key = KeyPair::generate().unwrap();
            let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
            (params.signed_by(&key, &ca).unwrap(), key)
        };
        let (server, server_key) = signed("127.0.0.1");
        let (client, client_key) = signed("client");
        let write = |name: &str, text: String| {
            std::fs::write(files.path().join(name), text).unwrap();
        };
        write("ca.pem", ca.pem());
        write("cert.pem", client.pem());
        write("key.pem", client_key.serialize_pem());

        let provider = Arc::new(ring::default_provider());
        let mut roots = RootCertStore::empty();
        roots.add(ca.der().clone()).unwrap();
        let clients =
            WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider))
                .build()
                .unwrap();
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(server_key.serialize_der()));
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_client_cert_verifier(clients)
            .with_single_cert(vec![server.der().clone()], key)
            .unwrap();
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let host = format!("tcp://{}", listener.local_addr().unwrap());
        listener.set_nonblocking(true).unwrap();
        thread::spawn(move || serve(listener, TlsAcceptor::from(Arc::new(config))));
        Self { host, files }
    }

    /// Puts some of the files into a folder.
    fn give(&self, folder: &Path, names: &[&str]) {
        std::fs::create_dir_all(folder).unwrap();
        for name in names {
            std::fs::copy(self.files.path().join(name), folder.join(name)).unwrap();
        }
    }
}

fn serve(listener: std::net::TcpListener, acceptor: TlsAcceptor) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::from_std(listener).unwrap();
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                // Who is refused is told so by TLS itself.
                if let Ok(mut stream) = acceptor.accept(stream).await {
                    let engine = tokio::net::UnixStream::connect("/var/run/docker.sock");
                    let mut engine = engine.await.unwrap();
                    let _ = tokio::io::copy_bidirectional(&mut stream, &mut engine).await;
                }
            });
        }
    });
}

/// Rewrites a context so that the engine's certificate is not verified.
fn skip_verify(config: &Path) {
    for entry in std::fs::read_dir(config.join("contexts/meta")).unwrap() {
        let file = entry.unwrap().path().join("meta.json");
        let text = std::fs::read_to_string(&file).unwrap();
        let skipping = text.replace("\"SkipTLSVerify\":false", "\"SkipTLSVerify\":true");
        assert_ne!(text, skipping);
        std::fs::write(file, skipping).unwrap();
    }
}

/// It looked from inside, with a helper, and found what there is.
#[track_caller]
fn looked(said: &Ended, name: &str) {
    assert_eq!(
        (said.code, said.stderr.as_str()),
        (Some(0), ""),
        "{said:#?}"
    );
    assert!(
        said.stdout.contains(&format!("{name}: no problem found")),
        "{said:#?}"
    );
}

const ALL: [&str; 3] = ["ca.pem", "cert.pem", "key.pem"];

#[test]
fn contexts_with_tls() {
    let tls = Tls::new();
    let world = World::new();
    let net = world.network("net");
    let web = world.run("web", |n| n.on(&net).tcp(80));
    let cli = Cli::new();
    let folder = context(cli.path(), "far", &tls.host);
    tls.give(&folder, &ALL);
    looked(
        &cli.run(&["--context", "far", "netcheck", "-q", &web]),
        &web,
    );
    let alone = |words: &[&str]| run(netcheck(words).env("DOCKER_CONFIG", cli.path()));
    looked(&alone(&["--context", "far", "-q", &web]), &web);

    // Not the engine's authority: refused, with the CLI's reason.
    let other = Tls::new();
    other.give(&folder, &["ca.pem"]);
    alone(&["--context", "far", "db"]).refused(&[
        "cannot connect to the Docker Engine at",
        &tls.host,
        "certificate",
    ]);
    skip_verify(cli.path());
    looked(&alone(&["--context", "far", "-q", &web]), &web);

    std::fs::remove_file(folder.join("key.pem")).unwrap();
    alone(&["--context", "far", "db"]).refused(&[
        "context \"far\": ",
        "key.pem is missing",
        "docker context update far",
    ]);
}

#[test]
fn tls_by_flags_and_variables() {
    let tls = Tls::new();
    let world = World::new();
    let never = created(&world, "never");
    let cli = Cli::new();
    let files = TempDir::new().unwrap();
    tls.give(files.path(), &ALL);
    let path = files.path().to_str().unwrap().to_owned();
    let file = |name: &str| format!("{path}/{name}");
    let problem = |mut command: std::process::Command| {
        let said = run(&mut command);
        assert_eq!(
            (said.code, said.stderr.as_str()),
            (Some(2), ""),
            "{said:#?}"
        );
    };
    let mut variables = cli.docker(&["netcheck", "-q", &never]);
    variables
        .env("DOCKER_HOST", &tls.host)
        .env("DOCKER_TLS_VERIFY", "1")
        .env("DOCKER_CERT_PATH", &path);
    problem(variables);
    problem(cli.docker(&[
        "-H",
        &tls.host,
        "--tlsverify",
        "--tlscacert",
        &file("ca.pem"),
        &format!("--tlscert={}", file("cert.pem")),
        "--tlskey",
        &file("key.pem"),
        "netcheck",
        "-q",
        &never,
    ]));
    // TLS is nothing for a socket of this machine.
    let mut local = cli.docker(&["netcheck", "-q", &never]);
    local.env("DOCKER_TLS_VERIFY", "1");
    local.env("DOCKER_HOST", "unix:///var/run/docker.sock");
    problem(local);

    std::fs::remove_file(file("ca.pem")).unwrap();
    run(netcheck(&["db"])
        .env("DOCKER_HOST", &tls.host)
        .env("DOCKER_TLS_VERIFY", "1")
        .env("DOCKER_CERT_PATH", &path))
    .refused(&["cannot read ", "ca.pem", "DOCKER_CERT_PATH"]);
}

/// A folder with an `ssh` that notes its words and runs the command at the other end right here.
fn fake_ssh() -> (TempDir, PathBuf) {
    let folder = TempDir::new().unwrap();
    let log = folder.path().join("log");
    let script = format!(
        "#!/bin/sh\necho \"$*\" >> {}\nwhile [ \"$1\" != docker ]; do shift; done\n\
         unset DOCKER_HOST DOCKER_CONTEXT\nexport DOCKER_CONFIG=/nonexistent\nexec \"$@\"\n",
        log.display()
    );
    let file = folder.path().join("ssh");
    std::fs::write(&file, script).unwrap();
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o755)).unwrap();
    (folder, log)
}

#[test]
fn ssh_is_the_docker_clis_own() {
    let (folder, log) = fake_ssh();
    let path = format!(
        "{}:{}",
        folder.path().display(),
        std::env::var("PATH").unwrap()
    );
    let world = World::new();
    let net = world.network("net");
    let web = world.run("web", |n| n.on(&net).tcp(80));
    let cli = Cli::new();
    context(cli.path(), "far", "ssh://me@far.example:2222");
    looked(
        &run(cli
            .docker(&["--context", "far", "netcheck", "-q", &web])
            .env("PATH", &path)),
        &web,
    );
    let words = std::fs::read_to_string(&log).unwrap();
    for part in [
        "-l me",
        "-p 2222",
        "far.example docker",
        "system dial-stdio",
    ] {
        assert!(words.contains(part), "no `{part}` in {words}");
    }
    looked(
        &run(netcheck(&["-q", &web])
            .env("PATH", &path)
            .env("DOCKER_HOST", "ssh://far.example")),
        &web,
    );

    // What ssh says is the reason, however early it ends: before the CLI has written a word (which it then
    // reports as a broken pipe), or after.
    for first in ["exec 0<&-", "head -c 1 > /dev/null"] {
        std::fs::write(
            folder.path().join("ssh"),
            format!("#!/bin/sh\n{first}\nsleep 0.2\necho 'Host key verification failed.' >&2\nexit 255\n"),
        )
        .unwrap();
        run(netcheck(&["db"])
            .env("PATH", &path)
            .env("DOCKER_HOST", "ssh://far.example"))
        .refused(&[
            "cannot connect to the Docker Engine at ssh://far.example",
            "Host key verification failed",
        ]);
    }
    // No docker CLI, no ssh.
    run(netcheck(&["db"])
        .env("PATH", folder.path())
        .env("DOCKER_HOST", "ssh://far.example"))
    .refused(&["cannot start `docker`"]);
}
