//! The end of a connection whose client is told why.

use std::{io, time::Duration};

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

/// How long a client may take to read it.
const LEAVING_MAX_TIME: Duration = Duration::from_secs(1);

/// Says something, and waits for the client to go.
pub(super) async fn leave(stream: impl AsyncRead + AsyncWrite + Unpin, told: &[u8]) {
    let _ = tokio::time::timeout(LEAVING_MAX_TIME, say(stream, told)).await;
}

async fn say(mut stream: impl AsyncRead + AsyncWrite + Unpin, told: &[u8]) -> io::Result<()> {
    stream.write_all(told).await?;
    stream.shutdown().await?;
    let mut unheard = [0; 1024];
    while stream.read(&mut unheard).await? > 0 {}
    Ok(())
}
