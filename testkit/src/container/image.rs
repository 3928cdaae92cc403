//! Containers of images that testcontainers describes. It adds networks and the lab to them and takes nothing
//! from what their request says.

use std::fmt;
use std::sync::Arc;

use super::Builder;
use super::running::{Container, ContainerRef};
use crate::doing::Doing;

/// A container that was started from a testcontainers request: a [`Container`] that also is the
/// genuine `ContainerAsync`.
///
/// ```no_run
/// # use netcheck_testkit::{Started, Lab, Network};
/// # async fn test(lab: &Lab, back: &Network) -> netcheck_testkit::Result<()> {
/// use netcheck_testkit::testcontainers::GenericImage;
///
/// let redis: Started<GenericImage> = lab
///     .container("redis", GenericImage::new("redis", "7"))
///     .on(back)
///     .start()
///     .await?;
/// println!("{}", redis.logs(10).await?); // as of any container of the lab
/// # Ok(())
/// # }
/// ```
pub struct Started<I: testcontainers::Image> {
    container: Container,
    genuine: testcontainers::ContainerAsync<I>,
}

impl<I: testcontainers::Image> Started<I> {
    pub(crate) fn new(container: Container, genuine: testcontainers::ContainerAsync<I>) -> Self {
        Self { container, genuine }
    }

    /// Testcontainers' own handle. Dropping it removes nothing: the lab does.
    ///
    /// ```no_run
    /// # use netcheck_testkit::Lab;
    /// # async fn test(lab: &Lab) -> netcheck_testkit::Result<()> {
    /// use netcheck_testkit::testcontainers::GenericImage;
    ///
    /// let redis = lab.container("redis", GenericImage::new("redis", "7")).start().await?;
    /// assert_eq!(redis.testcontainers().id(), redis.id());
    /// # Ok(())
    /// # }
    /// ```
    pub fn testcontainers(&self) -> &testcontainers::ContainerAsync<I> {
        &self.genuine
    }

    /// The handle without its type.
    ///
    /// ```no_run
    /// # use netcheck_testkit::{Container, Lab};
    /// # async fn test(lab: &Lab) -> netcheck_testkit::Result<()> {
    /// use netcheck_testkit::testcontainers::GenericImage;
    ///
    /// let redis = lab.container("redis", GenericImage::new("redis", "7")).start().await?;
    /// let plain: Container = redis.container().clone();
    /// # Ok(())
    /// # }
    /// ```
    pub fn container(&self) -> &Container {
        &self.container
    }
}

impl<I: testcontainers::Image> std::ops::Deref for Started<I> {
    type Target = Container;

    fn deref(&self) -> &Container {
        &self.container
    }
}

impl<I: testcontainers::Image> fmt::Debug for Started<I> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.container.fmt(f)
    }
}

impl<I: testcontainers::Image> ContainerRef for Started<I> {
    fn container_id(&self) -> &str {
        self.container.id()
    }

    fn lab_name(&self) -> Option<&str> {
        Some(self.container.name())
    }
}

/// A container of an image of yours: wait strategies, environment, mounts, … come from the
/// testcontainers request.
///
/// ```no_run
/// # use netcheck_testkit::{Lab, Network};
/// # async fn test(lab: &Lab, back: &Network) -> netcheck_testkit::Result<()> {
/// use netcheck_testkit::testcontainers::{GenericImage, core::WaitFor};
///
/// let image = GenericImage::new("redis", "7")
///     .with_wait_for(WaitFor::message_on_stdout("Ready to accept connections"));
/// lab.container("redis", image).on(back).start().await?;
/// # Ok(())
/// # }
/// ```
pub struct Image<I: testcontainers::Image> {
    pub(crate) request: testcontainers::ContainerRequest<I>,
}

impl<I: testcontainers::Image> Image<I> {
    pub(crate) fn new(request: testcontainers::ContainerRequest<I>) -> Self {
        Self { request }
    }
}

impl<I: testcontainers::Image + Send + Sync + 'static> Builder<Image<I>> {
    /// Starts it and waits as its image says, and for the ports of [`Builder::ready`].
    ///
    /// # Errors
    ///
    /// - [`Error::Testcontainers`](crate::Error::Testcontainers): its image cannot be pulled, it cannot be started, or a wait
    ///   condition failed while it runs.
    /// - [`Error::NotReady`](crate::Error::NotReady): it ended before its wait conditions were met, or they were not in time
    ///   (its request's startup timeout, else [`Builder::startup_timeout`]); with its output.
    /// - [`Error::Unsupported`](crate::Error::Unsupported): the request copies files (`with_copy_to`), which only
    ///   testcontainers itself can; use [`Builder::file`].
    /// - [`Error::Invalid`](crate::Error::Invalid): as for built-in nodes; the request names a network; or testcontainers
    ///   speaks to another engine than the lab.
    /// - [`Error::Api`](crate::Error::Api): the engine refused. [`Error::TimedOut`](crate::Error::TimedOut): one it comes after was not ready in
    ///   time.
    ///
    /// A container whose start failed is removed at once.
    ///
    /// ```no_run
    /// # use netcheck_testkit::{Lab, Network, tcp};
    /// # async fn test(lab: &Lab, back: &Network) -> netcheck_testkit::Result<()> {
    /// use netcheck_testkit::testcontainers::GenericImage;
    ///
    /// let redis = lab
    ///     .container("redis", GenericImage::new("redis", "7"))
    ///     .on(back)
    ///     .ready(tcp(6379))
    ///     .start()
    ///     .await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn start(self) -> Doing<Started<I>> {
        let (lab, inner) = (Arc::clone(&self.lab), Arc::clone(&self.lab));
        lab.job(async move { crate::adopt::start(inner, self.plan, self.source).await })
    }
}
