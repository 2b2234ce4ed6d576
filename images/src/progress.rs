//! How long work is shown; the command line decides with what.

/// Receives the steps of long work. One thing is under way at a time.
pub trait Progress {
    /// Work called `what` starts; `total` is its size in bytes where known.
    fn begin(&self, what: &str, total: Option<u64>);
    /// Work called `what` starts, on `total` things of which each is to be advanced by.
    fn begin_count(&self, what: &str, total: u64) {
        let _ = total;
        self.begin(what, None);
    }
    /// Another `bytes` (or things) of it are done.
    fn advance(&self, bytes: u64);
    /// It is over, well or not.
    fn finish(&self);
    /// Something worth a line of its own.
    fn line(&self, message: &str);
}

/// Shows nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct Silent;

impl Progress for Silent {
    fn begin(&self, _what: &str, _total: Option<u64>) {}
    fn advance(&self, _bytes: u64) {}
    fn finish(&self) {}
    fn line(&self, _message: &str) {}
}

/// A step under way; ends it when dropped, on errors too.
pub(crate) struct Step<'a>(&'a dyn Progress);

impl<'a> Step<'a> {
    pub(crate) fn begin(progress: &'a dyn Progress, what: &str, total: Option<u64>) -> Step<'a> {
        progress.begin(what, total);
        Step(progress)
    }

    pub(crate) fn advance(&self, bytes: u64) {
        self.0.advance(bytes);
    }
}

impl Drop for Step<'_> {
    fn drop(&mut self) {
        self.0.finish();
    }
}

/// Counts what is read through it into a step.
pub(crate) struct Counted<'a, R> {
    pub(crate) inner: R,
    pub(crate) step: &'a Step<'a>,
}

impl<R: std::io::Read> std::io::Read for Counted<'_, R> {
    fn read(&mut self, buf: &mut [u8]) -> std::io::Result<usize> {
        let n = self.inner.read(buf)?;
        self.step.advance(n as u64);
        Ok(n)
    }
}
