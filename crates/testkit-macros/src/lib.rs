//! The attribute `#[netcheck_testkit::test]`: turns a function that takes a lab into a test that
//! starts one. It writes as little code as possible; what the test does at run time is in
//! `netcheck_testkit::__private`. It must never change what the function itself says.

mod arguments;
mod expand;

use proc_macro::TokenStream;

/// A test with a lab of its own: an `async fn(lab: &Lab)` or a plain `fn(lab: &Lab)` that returns
/// nothing or a `Result`.
///
/// The lab is named `module::function` in labels and messages. It ends with the test: an `Err` or a
/// panic marks it as failed, prints what its containers were doing, and it is removed (or kept, see
/// `keep`) in any case. What cannot be removed fails the test.
///
/// An `async fn` runs on a tokio runtime of its own. A plain `fn` needs none: everything the kit
/// does has `.wait()`. Other attributes (`#[ignore]`, `#[should_panic]`, `#[cfg(…)]`) are passed
/// on.
///
/// | argument | meaning |
/// |---|---|
/// | `timeout = "60s"` | the test fails after so long (`ms`, `s`, `m`), with the same report as any failure; without it there is no limit |
/// | `keep = "on-failure"` | the lab stays for you to look at if the test fails; `"always"`, `"never"`; by default as `NETCHECK_TESTKIT_KEEP` says |
/// | `flavor = "multi_thread"` | the runtime has worker threads; by default `"current_thread"` |
/// | `worker_threads = 2` | how many; by default one for each core |
/// | `crate = "kit"` | the name under which this crate knows `netcheck_testkit` |
#[proc_macro_attribute]
pub fn test(arguments: TokenStream, function: TokenStream) -> TokenStream {
    expand::expand(arguments.into(), function.into()).into()
}
