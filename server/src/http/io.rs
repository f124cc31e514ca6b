//! A connection that ends when its other side is too slow.
//!
//! hyper's own header timeout also counts while a connection waits for its next request, but workstations keep one open
//! for minutes. So time is kept here: long between requests, short once the first byte of a head has come.

use std::{
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Instant, Sleep, sleep},
};

/// What a connection is doing.
#[derive(Debug, Clone, Default)]
pub(super) struct Phase(Arc<AtomicU8>);

const IDLE: u8 = 0;
const HEAD: u8 = 1;
const REQUEST: u8 = 2;

impl Phase {
    /// The head is complete.
    pub(super) fn request(&self) {
        self.0.store(REQUEST, Ordering::Relaxed);
    }

    /// The answer is known; only its bytes have to leave.
    pub(super) fn idle(&self) {
        self.0.store(IDLE, Ordering::Relaxed);
    }
}

/// How long a connection may stay in each phase without a byte moving.
#[derive(Debug, Clone, Copy)]
pub(super) struct PhaseLimits {
    /// Between requests.
    pub(super) idle: Duration,
    /// From the first byte of a head to its last; not prolonged by the bytes between.
    pub(super) head: Duration,
    /// While a request is being worked on.
    pub(super) request: Duration,
}

/// A stream with a limit for each phase.
pub(super) struct Timed<S> {
    stream: S,
    phase: Phase,
    limits: PhaseLimits,
    /// The phase that `deadline` was set for.
    armed: u8,
    deadline: Pin<Box<Sleep>>,
}

impl<S> Timed<S> {
    pub(super) fn new(stream: S, phase: Phase, limits: PhaseLimits) -> Self {
        // The first request has to come soon: who connects has something to say.
        Self { stream, phase, limits, armed: IDLE, deadline: Box::pin(sleep(limits.head)) }
    }

    fn arm(&mut self) {
        let phase = self.phase.0.load(Ordering::Relaxed);
        if phase != self.armed {
            self.armed = phase;
            let limit = match phase {
                IDLE => self.limits.idle,
                HEAD => self.limits.head,
                _ => self.limits.request,
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
                    // Only from idle to head: later bytes of a head or of a body change nothing.
                    let _ = self.phase.0.compare_exchange(IDLE, HEAD, Ordering::Relaxed, Ordering::Relaxed);
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
