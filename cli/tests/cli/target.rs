//! A model service over HTTP/1.1 that answers every request alike.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

use crate::program::DEADLINE;

/// It serves until the tests end.
pub(crate) struct Target {
    address: SocketAddr,
    requested: Receiver<()>,
}

impl Target {
    /// Answers with this status line, such as `200 OK`, and one prediction.
    pub(crate) fn answering(status: &str) -> Self {
        let body = r#"{"payload":{"predictions":[1]}}"#;
        Self::with_answer(format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n{body}", body.len()))
    }

    fn with_answer(answer: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let answer: Arc<str> = answer.into();
        let (tell, requested) = sync_channel(1);
        thread::spawn(move || {
            for connection in listener.incoming().map_while(Result::ok) {
                let (answer, tell) = (Arc::clone(&answer), tell.clone());
                // A connection that ends, ends its thread.
                thread::spawn(move || serve(connection, &answer, &tell).ok());
            }
        });
        Self { address, requested }
    }

    /// Takes requests, and answers none.
    pub(crate) fn silent() -> Self {
        Self::with_answer(String::new())
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}/predict", self.address)
    }

    /// Returns when a request has come.
    pub(crate) fn until_requested(&self) {
        self.requested.recv_timeout(DEADLINE).unwrap();
    }
}

fn serve(connection: TcpStream, answer: &str, tell: &SyncSender<()>) -> std::io::Result<()> {
    let mut writer = connection.try_clone()?;
    let mut reader = BufReader::new(connection);
    loop {
        let mut length = 0;
        let mut line = String::new();
        while line != "\r\n" {
            line.clear();
            if reader.read_line(&mut line)? == 0 {
                return Ok(());
            }
            if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse().map_err(std::io::Error::other)?;
            }
        }
        reader.read_exact(&mut vec![0; length])?;
        // One that nobody waits for any more is known already.
        let _known_already = tell.try_send(());
        writer.write_all(answer.as_bytes())?;
    }
}
