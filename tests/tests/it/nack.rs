//! S1, S4: resources that get as far as the proxy and are refused there. Weir's own control plane sends none, as both
//! planes check alike, so the test plays the control plane.

use weir_proto::pb::{Balance, PathMatch, PathType, Pool, Resource, Rule};
use weir_tests::metrics::samples;
use weir_tests::scripted::{Session, backend, pool};
use weir_tests::{Backend, DataPlane, Scripted, get};

/// A method of a later version.
fn unknown_method(pool: &mut Pool) {
    pool.balance = Some(Balance { method: 99, hash: None });
}

fn broken_regex(pool: &mut Pool) {
    let path = PathMatch { r#type: PathType::Regex.into(), value: "(".to_owned(), ..PathMatch::default() };
    pool.r#match = vec![Rule { path: Some(path), ..Rule::default() }];
}

/// What the proxy refuses of this, as name and reason.
async fn refused(session: &mut Session, resources: Vec<Resource>) -> Vec<(String, String)> {
    let rejected = session.deliver(resources).await;
    rejected.into_iter().map(|r| (r.key.unwrap().name, r.reason)).collect()
}

async fn nacks(proxy: &DataPlane, kind: &str) -> f64 {
    let metrics = get(proxy.admin(), "/metrics").await.unwrap().text();
    let labels = format!("kind=\"{kind}\"");
    samples(&metrics, "weir_nacks_total").into_iter().find(|(l, _)| *l == labels).unwrap().1
}

#[tokio::test]
async fn s4_bad_resources_are_nacked_by_name_and_field_and_the_good_ones_serve() {
    let server = Backend::start("web-1").await;
    let mut control = Scripted::start().await;
    let proxy = DataPlane::builder(control.address()).start_unready();
    let (mut session, _) = control.accept().await;
    let refused = refused(
        &mut session,
        vec![
            backend("web-1", "web", server.address()),
            pool("method", unknown_method),
            pool("regex", broken_regex),
            pool("web", |_| ()),
        ],
    )
    .await;
    for ((name, reason), (expected, field)) in
        refused.iter().zip([("method", "spec.balance.method"), ("regex", "spec.match[0].path")])
    {
        assert!(name == expected && reason.contains(field), "{name}: {reason}");
    }
    assert_eq!(refused.len(), 2, "{refused:?}");
    assert_eq!(get(proxy.address(), "/").await.unwrap().text(), "web-1");
    assert_eq!((nacks(&proxy, "Pool").await, nacks(&proxy, "Backend").await), (2.0, 0.0));
}

#[tokio::test]
async fn s4_what_was_refused_is_not_held_and_its_last_good_version_is() {
    let server = Backend::start("web-1").await;
    let mut control = Scripted::start().await;
    let proxy = DataPlane::builder(control.address()).start_unready();
    let (mut session, _) = control.accept().await;
    let good = [backend("web-1", "web", server.address()), pool("web", |_| ())];
    assert_eq!(refused(&mut session, good.to_vec()).await, []);
    let worse = vec![pool("other", unknown_method), pool("web", broken_regex)];
    assert_eq!(refused(&mut session, worse).await.len(), 2);
    assert_eq!(get(proxy.address(), "/").await.unwrap().text(), "web-1");

    drop(session);
    let (_session, subscribe) = control.accept().await;
    let mut held: Vec<_> = subscribe.held.into_iter().map(|held| (held.key.unwrap().name, held.version)).collect();
    held.sort();
    assert_eq!(
        held,
        good.map(|resource| (resource.key.unwrap().name, resource.version)).into_iter().rev().collect::<Vec<_>>()
    );
}
