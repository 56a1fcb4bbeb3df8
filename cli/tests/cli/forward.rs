//! The API server's end of a forwarded port: a WebSocket whose messages begin with a channel's number,
//! 0 for bytes and 1 for errors, and each channel with the port (Kubernetes' v4.channel.k8s.io).

use std::net::SocketAddr;

use bytes::Bytes;
use futures_util::SinkExt;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::upgrade::Upgraded;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::runtime::Handle;
use tokio_stream::StreamExt;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::Role;

/// Agrees to the upgrade, and passes bytes on from then on.
pub(crate) fn accept(request: Request<Incoming>, to: SocketAddr) -> Response<Full<Bytes>> {
    let key = request.headers().get("sec-websocket-key").unwrap();
    let response = Response::builder()
        .status(101)
        .header("connection", "Upgrade")
        .header("upgrade", "websocket")
        .header("sec-websocket-accept", derive_accept_key(key.as_bytes()))
        .header("sec-websocket-protocol", "v4.channel.k8s.io");
    let ports = request.uri().query().and_then(|query| query.split("ports=").nth(1)).unwrap();
    let port: u16 = ports.parse().unwrap();
    Handle::current().spawn(async move {
        let upgraded = TokioIo::new(hyper::upgrade::on(request).await.unwrap());
        pass_on(WebSocketStream::from_raw_socket(upgraded, Role::Server, None).await, to, port).await;
    });
    response.body(Full::default()).unwrap()
}

/// Until either end has enough.
async fn pass_on(mut socket: WebSocketStream<TokioIo<Upgraded>>, to: SocketAddr, port: u16) {
    let [low, high] = port.to_le_bytes();
    for channel in [0, 1] {
        socket.send(Message::binary(vec![channel, low, high])).await.unwrap();
    }
    let mut stream = TcpStream::connect(to).await.unwrap();
    let mut buffer = [0; 4_096];
    loop {
        tokio::select! {
            message = socket.next() => match message {
                Some(Ok(Message::Binary(bytes))) if bytes.first() == Some(&0) => {
                    stream.write_all(&bytes[1..]).await.unwrap();
                }
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                _ => return,
            },
            count = stream.read(&mut buffer) => match count {
                Ok(count @ 1..) => {
                    let framed = [&[0], &buffer[..count]].concat();
                    if socket.send(Message::binary(framed)).await.is_err() {
                        return;
                    }
                }
                _ => return,
            },
        }
    }
}
