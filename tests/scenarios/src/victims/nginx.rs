//! nginx, which compresses a file of 100 KiB for each request, so that serving it costs CPU.
//!
//! The load engine posts and asks for no encoding, so nginx is its own client: the outer server turns
//! each request into one that a browser would send to the inner one.

use std::path::Path;

use anyhow::Context as _;
use berth_loadgen::{Check, Payload, Protocol};

use super::Server;
use crate::{
    scene::{free_port, write_noise},
    tools::{Tool, Tools},
};

/// What is served. Noise does not shrink, which costs the compressor the most.
const FILE_BYTES: u64 = 100 << 10;

pub(super) fn server(threads: u32, port: u16, tools: &Tools, scratch: &Path) -> anyhow::Result<Server> {
    let inner = free_port()?;
    let folder = scratch.display();
    write_noise(&scratch.join("page.html"), FILE_BYTES)?;
    // Debian's modules are not loaded, and nobody is switched to: the folder belongs to root.
    let config = format!(
        "daemon off; worker_processes {threads}; pid {folder}/nginx.pid; error_log {folder}/nginx-error.log;
user root;
events {{ worker_connections 256; }}
http {{
    access_log off;
    client_body_temp_path {folder}; proxy_temp_path {folder}; fastcgi_temp_path {folder};
    uwsgi_temp_path {folder}; scgi_temp_path {folder};
    upstream inner {{ server 127.0.0.1:{inner}; keepalive 64; }}
    server {{
        listen 127.0.0.1:{inner};
        root {folder};
        default_type text/html;
        gzip on; gzip_comp_level 6; gzip_proxied any;
    }}
    server {{
        listen 127.0.0.1:{port};
        location / {{
            proxy_pass http://inner/page.html;
            proxy_method GET; proxy_set_body \"\"; proxy_http_version 1.1;
            proxy_set_header Connection \"\"; proxy_set_header Accept-Encoding gzip;
        }}
    }}
}}
"
    );
    let file = scratch.join("nginx.conf");
    std::fs::write(&file, config).with_context(|| format!("write {}", file.display()))?;
    let launch = tools.launch(Tool::Nginx).args(["-c"]).args([&file]).args(["-p"]).args([scratch]);
    let payload =
        Payload::ndjson("any body", super::ANY_BODY, Protocol::Predict).context("make a request")?;
    Ok(Server { launch, route: "/", payload, check: Check::Status })
}
