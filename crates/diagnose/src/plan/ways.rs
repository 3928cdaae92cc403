//! What to ask about ways over the engine's host: whether there is one, whether packets fit, and whether an
//! end of it is another machine's, too.

use std::net::SocketAddr;

use netcheck_probe::{Connected, Errno, Question};

use super::MOST;
use crate::case::{Case, Way};

/// How long to wait for the error about a packet that is too large, in milliseconds: the host sends it
/// at once.
const FITS_WAIT_MS: u32 = 300;

/// How long to wait for an answer to ARP, in milliseconds.
const OWNER_WAIT_MS: u32 = 500;

/// Whether the error about packets that are too large comes back, where the engine's host has to send it.
pub(super) fn fits(case: &Case<'_>, to: SocketAddr) -> Option<Question> {
    let (_, bytes) = case.narrow_link(to.ip())?;
    Some(Question::Fits {
        to,
        bytes,
        wait_ms: FITS_WAIT_MS,
    })
}

/// Whether the engine's host has a way, where its main table shows none to a place that did not open.
pub(super) fn ways(case: &Case<'_>) -> Vec<Question> {
    let tried = case.tried_outside().into_iter();
    let failed = tried.filter(|one| matches!(one.connected, Connected::Failed { .. }));
    let barred = failed.filter(|one| {
        let way = case.host_way(one.to.ip());
        matches!(way, Some(Way::Nowhere | Way::Refused(_)))
    });
    barred
        .take(MOST)
        .map(|one| Question::Way { to: one.to.ip() })
        .collect()
}

/// How many local ports are taken, where a connection got none.
pub(super) fn held(case: &Case<'_>, to: SocketAddr) -> Option<Question> {
    let failed = case.visit().ok()?.connect(to);
    let Some(Connected::Failed {
        errno: Errno::AddressNotAvailable,
        ..
    }) = failed.known()
    else {
        return None;
    };
    Some(Question::Held { to })
}

/// Who else has an address that a macvlan network gave: whoever answers the host, as the container cannot.
pub(super) fn owners(case: &Case<'_>) -> Vec<Question> {
    let lent = case.macvlan_addresses();
    let questions = lent.into_iter().take(MOST).map(|lent| Question::Owner {
        of: lent.address,
        wait_ms: OWNER_WAIT_MS,
    });
    questions.collect()
}

#[cfg(test)]
mod tests {
    use netcheck_probe::{Errno, Question, RouteKind};

    use crate::evidence::{Evidence, Viewpoint};
    use crate::plan::second;
    use crate::rules::testing::id_of;
    use crate::rules::testing::ways::{On, host_route, outside};

    fn asked(evidence: &Evidence, of: &Viewpoint, is_it: fn(&Question) -> bool) -> usize {
        let plan = second(evidence);
        let questions = plan.get(of).into_iter().flatten();
        questions.filter(|question| is_it(question)).count()
    }

    #[test]
    fn large_packets_are_sent_only_where_the_host_has_to_turn_them_away() {
        let web = Viewpoint::Container(id_of("web"));
        let fits = |question: &Question| matches!(question, Question::Fits { bytes: 1500, .. });
        let on = |mtu| {
            outside(&On {
                routes: vec![host_route("0.0.0.0", 0, Some("eth0"), RouteKind::Unicast)],
                mtu,
                ..On::default()
            })
        };
        assert_eq!(asked(&on(1400), &web, fits), 1);
        assert_eq!(asked(&on(1500), &web, fits), 0);
        let mut unasked = on(1400);
        unasked.request.outbound = None;
        assert_eq!(asked(&unasked, &web, fits), 0);
        // There is no way at all.
        assert_eq!(
            asked(
                &outside(&On {
                    mtu: 1400,
                    ..On::default()
                }),
                &web,
                fits
            ),
            0
        );
    }

    #[test]
    fn the_kernel_is_asked_for_a_way_only_where_the_table_has_none() {
        let way = |question: &Question| matches!(question, Question::Way { .. });
        let on = |errno, routes| {
            outside(&On {
                errno,
                routes,
                ..On::default()
            })
        };
        let silence = Some(Errno::TimedOut);
        let default = || vec![host_route("0.0.0.0", 0, Some("eth0"), RouteKind::Unicast)];
        assert_eq!(asked(&on(silence, Vec::new()), &Viewpoint::Host, way), 1);
        assert_eq!(asked(&on(silence, default()), &Viewpoint::Host, way), 0);
        assert_eq!(asked(&on(None, Vec::new()), &Viewpoint::Host, way), 0);
    }
}
