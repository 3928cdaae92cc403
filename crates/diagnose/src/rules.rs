//! Every fault the tool knows, one file each. The list is kept honest by a test.

#[cfg(test)]
pub(crate) mod testing;

macro_rules! rules {
    ($($name:ident),* $(,)?) => {
        $(pub mod $name;)*

        /// Every rule, in the order of the report's lines: an earlier one is the better guess for
        /// what to mend first.
        pub static RULES: &[&Rule] = &[$(&$name::RULE),*];
    };
}

use crate::rule::Rule;

rules! {
    host_port_taken,
    stale_network_id,
    static_address_in_use,
    static_address_outside_subnet,
    subnet_full,
    shared_namespace_owner_recreated,
    docker_chains_missing,
    cannot_bind_privileged_port,
    server_not_ready_yet,
    parent_interface_missing,
    address_pools_exhausted,
    subnet_overlaps_network,
    alias_ignored_on_default_bridge,
    overlay_not_attachable,
    container_not_running,
    container_never_started,
    restart_loop,
    container_paused,
    container_starting,
    healthcheck_localhost_is_ipv6,
    container_unhealthy,
    container_on_no_network,
    network_mode_none,
    network_mode_host,
    shared_namespace_dead,
    service_without_tasks,
    service_vip_dead,
    no_shared_network,
    bridge_down,
    bridge_netfilter_off,
    inter_container_communication_off,
    forward_rules_missing,
    firewall_drops,
    firewall_rejects,
    docker_user_drops_replies,
    host_firewall_blocks_containers,
    packet_loss,
    macvlan_host_barrier,
    macvlan_address_collision,
    ephemeral_ports_exhausted,
    default_bridge_has_no_dns,
    name_known_on_another_network_only,
    engine_dns_silent,
    name_unknown,
    alias_shared_by_several_containers,
    hosts_file_overrides_dns,
    search_domain_amplification,
    name_resolves_sometimes,
    subnet_overlaps_host_route,
    host_route_steals_subnet,
    default_route_through_other_network,
    nothing_listens,
    transport_mismatch,
    wrong_port,
    listens_on_loopback_only,
    listens_on_one_address,
    listens_on_ipv6_only,
    ipv6_name_ipv4_service,
    process_does_not_accept,
    accept_queue_overflows,
    connects_sometimes,
    connection_closed_at_once,
    plain_http_on_tls,
    server_says_nothing,
    published_to_wrong_container_port,
    published_transport_mismatch,
    published_port_nobody_listens,
    published_udp_nobody_listens,
    published_on_ipv4_only,
    published_port_needs_userland_proxy,
    published_on_host_loopback_only,
    nat_rules_missing,
    exposed_not_published,
    publish_ignored_by_network_mode,
    firewall_rule_never_matches,
    published_port_bypasses_host_firewall,
    host_gateway_name_missing,
    host_service_on_loopback_only,
    network_is_internal,
    ip_forwarding_off,
    engine_iptables_off,
    masquerade_missing,
    host_resolver_is_loopback,
    dns_server_is_loopback,
    upstream_dns_fails,
    ipv6_network_not_routed,
    host_has_no_route,
    host_has_no_ipv6_route,
    path_mtu_black_hole,
    bridge_mtu_exceeds_uplink,
    dns_server_unreachable,
    localhost_means_the_container,
    stale_container_address,
    host_port_used_between_containers,
    container_reached_through_host,
    proxy_without_exception,
}

/// The rule with this code.
pub fn by_code(code: &str) -> Option<&'static Rule> {
    RULES.iter().copied().find(|rule| rule.code == code)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_file_in_rules_is_listed_under_its_own_name() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/src/rules");
        let files: BTreeSet<String> = std::fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.is_file())
            .map(|path| {
                path.file_stem()
                    .unwrap()
                    .to_str()
                    .unwrap()
                    .replace('_', "-")
            })
            .filter(|stem| stem != "testing")
            .collect();
        let codes: BTreeSet<String> = RULES.iter().map(|rule| rule.code.to_owned()).collect();
        assert_eq!(
            files, codes,
            "add the missing rule to `rules!` in src/rules.rs"
        );
    }

    #[test]
    fn every_rule_is_documented_in_the_four_sections() {
        for rule in RULES {
            let headings: Vec<_> = rule
                .docs
                .lines()
                .filter(|line| line.starts_with("## "))
                .collect();
            assert_eq!(
                headings,
                [
                    "## What it checks",
                    "## Why it matters",
                    "## How to fix it",
                    "## When it is wrong"
                ],
                "docs of `{}`",
                rule.code
            );
        }
    }

    #[test]
    fn rules_stand_in_the_order_of_the_reports_lines() {
        let checks: Vec<_> = RULES.iter().map(|rule| rule.check).collect();
        assert!(checks.is_sorted(), "sort `rules!` by check: {checks:?}");
    }

    #[test]
    fn explanations_name_existing_rules_and_have_no_cycle() {
        fn depth(rule: &Rule, left: usize) {
            assert!(left > 0, "`{}` explains itself in a circle", rule.code);
            for code in rule.explained_by {
                let cause = by_code(code).unwrap_or_else(|| {
                    panic!("`{}` is explained by the unknown `{code}`", rule.code)
                });
                depth(cause, left - 1);
            }
        }
        for rule in RULES {
            depth(rule, RULES.len() + 1);
        }
    }
}
