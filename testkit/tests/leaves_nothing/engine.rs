//! Looks at the engine from outside the kit: what carries a label, and a way to it over TCP.

use std::collections::HashMap;
use std::io;
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::sync::LazyLock;
use std::thread;
use std::time::{Duration, Instant};

use bollard::Docker;
use bollard::errors::Error;
use bollard::query_parameters::{
    ListContainersOptionsBuilder, ListImagesOptionsBuilder, ListNetworksOptionsBuilder,
    ListVolumesOptionsBuilder,
};
use netcheck_testkit::{LABEL_IMAGE, LABEL_PROCESS};

use crate::process::Ended;

static RUNTIME: LazyLock<tokio::runtime::Runtime> =
    LazyLock::new(|| tokio::runtime::Runtime::new().unwrap());

/// The address of the engine under test, which has to be a unix socket.
pub fn host() -> String {
    std::env::var("DOCKER_HOST").unwrap_or_else(|_| "unix:///var/run/docker.sock".into())
}

fn socket() -> String {
    let host = host();
    let path = host.strip_prefix("unix://");
    path.expect("these tests need an engine at a unix socket")
        .to_owned()
}

static DOCKER: LazyLock<Docker> = LazyLock::new(|| {
    let _inside = RUNTIME.enter();
    let version = bollard::API_DEFAULT_VERSION;
    Docker::connect_with_unix(&socket(), 60, version)
        .expect("these tests need a Docker Engine (`docker version`)")
});

/// Asks the engine.
pub fn ask<T>(question: impl AsyncFnOnce(&'static Docker) -> T) -> T {
    RUNTIME.block_on(question(&DOCKER))
}

/// Containers in whatever state, networks and volumes with this label, in words.
pub fn things(label: &str) -> Vec<String> {
    let filters = HashMap::from([("label".to_owned(), vec![label.to_owned()])]);
    ask(async |docker| {
        let containers = ListContainersOptionsBuilder::new()
            .all(true)
            .filters(&filters)
            .build();
        let networks = ListNetworksOptionsBuilder::new().filters(&filters).build();
        let volumes = ListVolumesOptionsBuilder::new().filters(&filters).build();
        let containers = netcheck_engine::list_containers(docker, containers).await;
        let containers = containers.unwrap();
        let networks = docker.list_networks(Some(networks)).await.unwrap();
        let volumes = docker.list_volumes(Some(volumes)).await.unwrap();
        let containers = containers.into_iter().map(|container| {
            let names = container.names.unwrap_or_default().join(" ");
            format!("container {names} {}", container.state.unwrap())
        });
        let networks = networks
            .into_iter()
            .map(|network| format!("network {}", network.name.unwrap_or_default()));
        let volumes = volumes.volumes.unwrap_or_default().into_iter();
        containers
            .chain(networks)
            .chain(volumes.map(|volume| format!("volume {}", volume.name)))
            .collect()
    })
}

/// What a process of the kit made and is still there; helpers too, once its reaper was seen.
pub fn things_of(pid: u32, run: Option<&str>) -> Vec<String> {
    let mut found = things(&format!("{LABEL_PROCESS}={pid}"));
    if let Some(run) = run {
        found.extend(things(&format!("io.netcheck.run={run}")));
    }
    found
}

/// Whether there is a container with this id, in whatever state.
pub fn has_container(id: &str) -> bool {
    ask(
        async |docker| match docker.inspect_container(id, None).await {
            Ok(_) => true,
            Err(Error::DockerResponseServerError {
                status_code: 404, ..
            }) => false,
            Err(error) => panic!("{error}"),
        },
    )
}

/// Images of the kit without a name. Those with one stay, one for each version of a program.
pub fn nameless_images() -> usize {
    let filters = HashMap::from([
        ("label".to_owned(), vec![LABEL_IMAGE.to_owned()]),
        ("dangling".to_owned(), vec!["true".to_owned()]),
    ]);
    let options = ListImagesOptionsBuilder::new().filters(&filters).build();
    ask(async |docker| docker.list_images(Some(options)).await.unwrap().len())
}

/// Waits until a question has this answer, and says how long it took.
#[track_caller]
pub fn until(what: &str, within: Duration, is_so: impl Fn() -> Result<(), String>) -> Duration {
    let begun = Instant::now();
    loop {
        // Of an answer only the time of its question counts, which is before it.
        let asked = begun.elapsed();
        match is_so() {
            Ok(()) => return asked,
            Err(why) => assert!(asked < within, "{what}: not within {within:?}: {why}"),
        }
        thread::sleep(Duration::from_millis(20));
    }
}

/// Of a process that has ended nothing is left two seconds later.
#[track_caller]
pub fn nothing_is_left(ended: &Ended) -> Duration {
    let spent = ended.at.elapsed();
    let took = spent
        + until(
            &format!("nothing is left of\n{ended}"),
            crate::GONE.saturating_sub(spent),
            || match &*things_of(ended.pid, ended.run.as_deref()) {
                [] => Ok(()),
                left => Err(format!("{left:#?}")),
            },
        );
    println!("{}: gone after {} ms", ended.scenario, took.as_millis());
    took
}

/// It removed everything itself, before it ended.
#[track_caller]
pub fn nothing_was_left(ended: &Ended) {
    let left = things_of(ended.pid, ended.run.as_deref());
    assert!(left.is_empty(), "{left:#?}\n{ended}");
}

/// Passes TCP connections on to the engine's socket as long as this process lives; the port.
pub fn tcp_port() -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for client in listener.incoming() {
            let (Ok(client), Ok(engine)) = (client, UnixStream::connect(socket())) else {
                continue;
            };
            let (client_too, engine_too) = (client.try_clone(), engine.try_clone());
            let (Ok(client_too), Ok(engine_too)) = (client_too, engine_too) else {
                continue;
            };
            thread::spawn(move || forward(&client, &engine_too));
            thread::spawn(move || backward(&engine, &client_too));
        }
    });
    port
}

// What ends on one side ends on the other; an error is an end too.
fn forward(mut from: &TcpStream, mut to: &UnixStream) {
    let _ = io::copy(&mut from, &mut to);
    let _ = to.shutdown(Shutdown::Write);
}

fn backward(mut from: &UnixStream, mut to: &TcpStream) {
    let _ = io::copy(&mut from, &mut to);
    let _ = to.shutdown(Shutdown::Write);
}
