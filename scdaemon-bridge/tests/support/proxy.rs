//! An HTTP proxy that opens the way to whom it knows, and remembers what it was asked.

use std::sync::{Arc, Mutex};

use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader, copy_bidirectional},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

pub struct Proxy {
    pub port: u16,
    asked: Arc<Mutex<Vec<String>>>,
    task: JoinHandle<()>,
}

impl Proxy {
    /// A proxy that wants this value of `Proxy-Authorization`, if it wants one.
    pub async fn start(authorization: Option<&'static str>) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let asked: Arc<Mutex<Vec<String>>> = Arc::default();
        let seen = asked.clone();
        let task = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                tokio::spawn(serve(stream, seen.clone(), authorization));
            }
        });
        Self { port, asked, task }
    }

    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// The first line of each request.
    pub fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(stream: TcpStream, seen: Arc<Mutex<Vec<String>>>, wanted: Option<&str>) -> Option<()> {
    let mut stream = BufReader::new(stream);
    let (mut first, mut authorized) = (String::new(), wanted.is_none());
    stream.read_line(&mut first).await.ok()?;
    loop {
        let mut line = String::new();
        stream.read_line(&mut line).await.ok()?;
        let Some((name, value)) = line.trim_end().split_once(':') else { break };
        authorized |= name.eq_ignore_ascii_case("proxy-authorization") && Some(value.trim()) == wanted;
    }
    seen.lock().unwrap().push(first.trim_end().to_owned());
    let target = first.strip_prefix("CONNECT ")?.split(' ').next()?.to_owned();
    if !authorized {
        let answer = b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n";
        stream.write_all(answer).await.ok()?;
        // Closing with unread input would reset the connection before the answer is read.
        stream.read_to_end(&mut Vec::new()).await.ok()?;
        return None;
    }
    let mut server = TcpStream::connect(&target).await.ok()?;
    stream.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").await.ok()?;
    copy_bidirectional(&mut stream, &mut server).await.ok()?;
    Some(())
}
