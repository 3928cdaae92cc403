//! What a built-in node can be told about ports, files and its image, and what the engine then says
//! of it.

use netcheck_testkit::bollard::models::{ContainerConfig, HealthConfig, PortMap};
use netcheck_testkit::{Container, Lab, Result, tcp, udp};

fn config(container: &Container) -> Result<ContainerConfig> {
    Ok(container.inspect().wait()?.config.unwrap_or_default())
}

fn bindings(container: &Container) -> Result<PortMap> {
    let host = container.inspect().wait()?.host_config;
    Ok(host.and_then(|host| host.port_bindings).unwrap_or_default())
}

#[test]
fn a_port_that_is_exposed_is_not_published() -> Result<()> {
    let lab = Lab::start().wait()?;
    let db = lab
        .node("db")
        .expose(tcp(3306))
        .expose(udp(53))
        .create()
        .wait()?;
    let mut exposed = config(&db)?.exposed_ports.unwrap_or_default();
    exposed.sort();
    assert_eq!(exposed, ["3306/tcp", "53/udp"]);
    assert_eq!(bindings(&db)?, PortMap::new());
    Ok(())
}

#[test]
fn a_port_is_published_as_the_chosen_one_on_every_address() -> Result<()> {
    let lab = Lab::start().wait()?;
    let db = lab
        .node("db")
        .publish_as(tcp(3306), 33060)
        .publish(udp(53))
        .create()
        .wait()?;
    let bindings = bindings(&db)?;
    let of = |port: &str| {
        let binding = bindings[port].as_ref().expect("it is published")[0].clone();
        (
            binding.host_ip.unwrap_or_default(),
            binding.host_port.unwrap_or_default(),
        )
    };
    // No address is what means every one of both families to the engine.
    assert_eq!(of("3306/tcp"), (String::new(), "33060".into()));
    assert_eq!(of("53/udp"), (String::new(), String::new()));
    Ok(())
}

#[test]
fn an_image_says_what_it_is_told_to() -> Result<()> {
    let lab = Lab::start().wait()?;
    let check = HealthConfig {
        test: Some(
            ["CMD", "/netcheck-node", "health=/ok"]
                .map(str::to_owned)
                .into(),
        ),
        interval: Some(1_000_000_000),
        ..HealthConfig::default()
    };
    let its_own = check.clone();
    let db = lab
        .node("db")
        .image(|image| image.exposed_ports = Some(vec!["3306/tcp".into()]))
        .image(|image| image.healthcheck = Some(its_own))
        .tcp(80)
        .start()
        .wait()?;
    let plain = lab.node("plain").create().wait()?;
    let (said, plain) = (config(&db)?, config(&plain)?);
    assert_eq!(said.exposed_ports, Some(vec!["3306/tcp".to_owned()]));
    assert_eq!(said.healthcheck, Some(check));
    assert_eq!((plain.exposed_ports, plain.healthcheck), (None, None));
    // Both are images of the kit, of different names.
    let (tag, of_plain) = (
        said.image.unwrap_or_default(),
        plain.image.unwrap_or_default(),
    );
    assert!(
        tag.starts_with(&format!("{of_plain}-")),
        "{tag}, {of_plain}"
    );
    for labels in [said.labels, plain.labels] {
        let role = labels
            .unwrap_or_default()
            .remove(netcheck_testkit::LABEL_IMAGE);
        assert_eq!(role.as_deref(), Some("node"));
    }
    Ok(())
}

#[test]
fn a_file_is_put_into_a_container_that_runs_or_not() -> Result<()> {
    let lab = Lab::start().wait()?;
    let db = lab
        .node("db")
        .word("needs=/some/where")
        .tcp(80)
        .create()
        .wait()?;
    let is_there = ["/netcheck-node", "health=/some/where"];
    db.put_file("/some/where", "here").wait()?;
    db.start().wait()?;
    assert_eq!(db.exec(["/netcheck-node", "health=/late"]).wait()?.code, 1);
    assert_eq!(db.exec(is_there).wait()?.code, 0);
    db.put_file("/late", "").wait()?;
    assert_eq!(db.exec(["/netcheck-node", "health=/late"]).wait()?.code, 0);
    Ok(())
}

#[test]
fn a_service_that_a_word_holds_up_is_not_waited_for() -> Result<()> {
    let lab = Lab::start().wait()?;
    // It would be an error after a minute: nothing listens before the second start.
    let web = lab
        .node("web")
        .word("second-start=/x")
        .tcp(80)
        .start()
        .wait()?;
    web.stop(std::time::Duration::ZERO).wait()?;
    web.start().wait()?;
    web.wait_for(tcp(80), std::time::Duration::from_secs(10))
        .wait()
}

#[test]
fn a_bridge_has_the_first_address_of_its_subnets() -> Result<()> {
    let lab = Lab::start().wait()?;
    let net = lab.network("net").ipv6().create().wait()?;
    assert_eq!(net.gateway(), Some(net.host(1)?));
    let web = lab.node("web").on(&net).tcp(80).start().wait()?;
    let endpoints = web
        .inspect()
        .wait()?
        .network_settings
        .and_then(|s| s.networks);
    let endpoint = endpoints.unwrap_or_default().remove(net.real_name());
    let six = endpoint
        .and_then(|endpoint| endpoint.ipv6_gateway)
        .unwrap_or_default();
    let first = net.subnets()[1].network().to_string() + "1";
    assert_eq!(six, first);
    Ok(())
}
