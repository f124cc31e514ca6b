//! A connection that ends when its other side is too slow.
//!
//! hyper's own header timeout also counts while a connection waits for its next request, but workstations keep one open
//! for minutes. So time is kept here: long between requests, short once the first byte of a head has come.

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Instant, Sleep, sleep},
};

use super::connections::{Connection, Phase};

/// How long a connection may stay in each phase without a byte moving.
#[derive(Debug, Clone, Copy)]
pub(super) struct PhaseLimits {
    /// Between requests, once one has shown a valid grant. Until then it is as short as `head`.
    pub(super) idle: Duration,
    /// From the first byte of a head to its last; not prolonged by the bytes between.
    pub(super) head: Duration,
    /// While a request is being worked on.
    pub(super) request: Duration,
}

/// A stream with a limit for each phase.
pub(super) struct Timed<S> {
    stream: S,
    connection: Arc<Connection>,
    limits: PhaseLimits,
    /// The phase that `deadline` was set for.
    armed: Phase,
    deadline: Pin<Box<Sleep>>,
}

impl<S> Timed<S> {
    pub(super) fn new(stream: S, connection: Arc<Connection>, limits: PhaseLimits) -> Self {
        // The first request has to come soon: who connects has something to say.
        Self { stream, connection, limits, armed: Phase::Idle, deadline: Box::pin(sleep(limits.head)) }
    }

    fn arm(&mut self) {
        let phase = self.connection.phase();
        if phase != self.armed {
            self.armed = phase;
            let limit = match phase {
                Phase::Idle if self.connection.is_anonymous() => self.limits.head.min(self.limits.idle),
                Phase::Idle => self.limits.idle,
                Phase::Head => self.limits.head,
                Phase::Request => self.limits.request,
            };
            self.deadline.as_mut().reset(Instant::now() + limit);
        }
    }

    /// Nothing could be moved: an error if that has lasted too long.
    fn stalled<T>(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<T>> {
        self.arm();
        ready!(self.deadline.as_mut().poll(cx));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Timed<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        match Pin::new(&mut self.stream).poll_read(cx, buf) {
            Poll::Ready(result) => {
                if buf.filled().len() > before {
                    self.connection.received();
                    self.arm();
                }
                Poll::Ready(result)
            }
            Poll::Pending => self.stalled(cx),
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Timed<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match Pin::new(&mut self.stream).poll_write(cx, buf) {
            Poll::Pending => self.stalled(cx),
            ready => ready,
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match Pin::new(&mut self.stream).poll_flush(cx) {
            Poll::Pending => self.stalled(cx),
            ready => {
                // hyper has often asked for the next head before the answer was known, and does not ask again before it
                // is woken: the time between requests begins here.
                self.arm();
                let _ = self.deadline.as_mut().poll(cx);
                ready
            }
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match Pin::new(&mut self.stream).poll_shutdown(cx) {
            Poll::Pending => self.stalled(cx),
            ready => ready,
        }
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match Pin::new(&mut self.stream).poll_write_vectored(cx, bufs) {
            Poll::Pending => self.stalled(cx),
            ready => ready,
        }
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}
