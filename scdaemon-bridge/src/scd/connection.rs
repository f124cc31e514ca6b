//! One client's stream of lines.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

use crate::assuan::{Incoming, LineBuffer};

/// A client that waits for an answer sends nothing; so much is kept if it does, in bytes.
const MAX_KEPT: usize = 16 * 1024;

/// A pair of byte streams that carry Assuan lines.
pub struct Connection {
    reader: Box<dyn AsyncRead + Unpin>,
    writer: Box<dyn AsyncWrite + Unpin>,
    lines: LineBuffer,
    chunk: Box<[u8; 2048]>,
}

impl Connection {
    /// A connection over these streams.
    pub fn new(reader: impl AsyncRead + Unpin + 'static, writer: impl AsyncWrite + Unpin + 'static) -> Self {
        Self {
            reader: Box::new(reader),
            writer: Box::new(writer),
            lines: LineBuffer::default(),
            chunk: Box::new([0; 2048]),
        }
    }

    /// Waits for the next line; `None` when the client is gone.
    ///
    /// # Errors
    /// If the stream breaks. Retrying can't help.
    pub async fn next(&mut self) -> io::Result<Option<Incoming>> {
        loop {
            if let Some(incoming) = self.lines.next() {
                return Ok(Some(incoming));
            }
            let len = self.reader.read(&mut self.chunk[..]).await?;
            match self.chunk.get(..len) {
                Some([]) | None => return Ok(None),
                Some(bytes) => self.lines.push(bytes),
            }
        }
    }

    /// Waits until the client is gone. What it sends meanwhile is kept for [`Self::next`]; if that is much, the end is not
    /// seen.
    pub(super) async fn closed(&mut self) {
        let mut kept = 0;
        while kept < MAX_KEPT {
            match self.reader.read(&mut self.chunk[..]).await.map(|len| self.chunk.get(..len)) {
                Ok(Some(bytes @ [_, ..])) => {
                    self.lines.push(bytes);
                    kept += bytes.len();
                }
                _ => return,
            }
        }
        std::future::pending().await
    }

    /// Sends bytes at once.
    ///
    /// # Errors
    /// If the client is gone. Retrying can't help.
    pub async fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.writer.write_all(bytes).await?;
        self.writer.flush().await
    }
}

impl std::fmt::Debug for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connection").finish_non_exhaustive()
    }
}
