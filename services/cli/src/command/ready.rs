//! `fleetcast ready`: whether a process that runs here is ready, for health checks of containers that have no other program in them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use anyhow::{Context, bail};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::args::http::ReadyArgs;
use crate::failure::Failure;
use crate::output;

/// The longest answer that is read, bytes.
const ANSWER_LIMIT: u64 = 64 * 1024;

pub(crate) async fn run(args: &ReadyArgs) -> Result<(), Failure> {
    let address = here(args.health);
    let asked = tokio::time::timeout(args.timeout, ask(address)).await;
    let answer = asked
        .map_err(|_| anyhow::anyhow!("{address} does not answer within {:?}", args.timeout))?
        .with_context(|| {
            format!("nobody tells at {address} how he does (is --health {address} said?)")
        })?;
    let missing = answer["missing"].as_array().cloned().unwrap_or_default();
    if answer["ready"] == true {
        let part = answer["part"].as_str().unwrap_or("ready");
        let lag = answer["lag"].as_u64().unwrap_or(0);
        let mut told = format!("ready: {part}, {lag} messages behind\n");
        let warnings = answer["warnings"].as_array().into_iter().flatten();
        for warning in warnings.filter_map(Value::as_str) {
            told += &format!("warning: {warning}\n");
        }
        return output::print(&told);
    }
    let missing: Vec<&str> = missing.iter().filter_map(Value::as_str).collect();
    Err(Failure::Refused(format!(
        "not ready: {}",
        missing.join("; ")
    )))
}

/// Who listens everywhere listens on this machine.
fn here(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}

async fn ask(address: SocketAddr) -> anyhow::Result<Value> {
    let mut stream = TcpStream::connect(address).await?;
    let request = format!("GET /readyz HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    stream.take(ANSWER_LIMIT).read_to_end(&mut answer).await?;
    let answer = String::from_utf8_lossy(&answer);
    let Some((head, body)) = answer.split_once("\r\n\r\n") else {
        bail!("the answer is not HTTP");
    };
    let status = head.split(' ').nth(1).unwrap_or_default();
    match serde_json::from_str(body) {
        Ok(told @ Value::Object(_)) => Ok(told),
        _ => bail!("the answer is {status}, and none of a process of Fleetcast"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_listens_everywhere_is_asked_here() {
        for (listens, asked) in [
            ("0.0.0.0:8481", "127.0.0.1:8481"),
            ("[::]:8481", "[::1]:8481"),
            ("10.0.0.1:80", "10.0.0.1:80"),
        ] {
            let address: SocketAddr = listens.parse().expect("an address");
            assert_eq!(here(address).to_string(), asked);
        }
    }
}
