//! The limit of the machine: an SMTP server that puts each message into a
//! journal of ours, waits until it is on stable storage, and does nothing else.

use crate::Common;
use anyhow::{Context as _, Result};
use clap::Args;
use engine::embedded::{EmbeddedEngine, Options};
use engine::keys;
use engine::{Batch, Engine as _, ShardId};
use std::path::PathBuf;
use std::sync::Arc;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};

/// Options of `bare`.
#[derive(Debug, Clone, Args)]
pub(crate) struct Bare {
    /// A folder for the journal.
    #[arg(long)]
    dir: PathBuf,
}

pub(crate) async fn serve(common: Common, work: Bare) -> Result<()> {
    let engine = Arc::new(EmbeddedEngine::open(&work.dir, &Options::default())?);
    let listener = TcpListener::bind(&common.addr).await?;
    loop {
        let (stream, _) = listener.accept().await?;
        let engine = engine.clone();
        tokio::spawn(async move { session(stream, &engine).await });
    }
}

async fn session(stream: TcpStream, engine: &EmbeddedEngine) -> Result<()> {
    stream.set_nodelay(true)?;
    let mut stream = BufReader::with_capacity(64 * 1024, stream);
    stream
        .get_mut()
        .write_all(b"220 bare.test ESMTP\r\n")
        .await?;
    let (mut line, mut message) = (Vec::new(), Vec::new());
    let mut in_data = false;
    loop {
        line.clear();
        if stream.read_until(b'\n', &mut line).await? == 0 {
            return Ok(());
        }
        let reply: &[u8] = if in_data {
            if line != b".\r\n" {
                message.extend_from_slice(&line);
                continue;
            }
            in_data = false;
            store(engine, &message).await?;
            message.clear();
            b"250 2.0.0 kept\r\n"
        } else {
            match line.get(..4) {
                Some(b"DATA") => {
                    in_data = true;
                    b"354 go on\r\n"
                }
                Some(b"QUIT") => return Ok(()),
                _ => b"250 2.0.0 ok\r\n",
            }
        };
        stream.get_mut().write_all(reply).await?;
    }
}

/// The message as one body, and one record so that there is a commit to wait for.
async fn store(engine: &EmbeddedEngine, message: &[u8]) -> Result<()> {
    let extent = engine
        .put_body(ShardId(0), message)
        .context("the journal takes no more")?;
    let mut batch = Batch::new();
    let mut key = keys::system();
    key.extend_from_slice(b"bare");
    batch.put(key, extent.encode().to_vec());
    engine.submit(batch)?.done().await;
    Ok(())
}
