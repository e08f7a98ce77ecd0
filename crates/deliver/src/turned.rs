//! A connection that its client has turned round: it is the server now (RFC 2645).
//!
//! Not here: who may turn it and for which domains (`smtp-server`, `policy`), what is
//! sent through it (`dispatch`).

use bytes::BytesMut;
use envelope::Envelope;
use runtime::net::Conn;

use crate::connection::Connection;
use crate::smtp::Attempt;
use crate::{Message, Outcome, Ports, Report};

/// Such a connection, ready for messages.
pub struct Turned {
    connection: Connection,
    host: String,
}

impl Turned {
    /// Waits for the other side's greeting and says hello; `input` is what it has said
    /// already, `host` how it is called in reports.
    ///
    /// # Errors
    /// It does not become ready; why.
    pub async fn new(
        ports: &Ports,
        conn: Conn,
        input: BytesMut,
        host: &str,
    ) -> Result<Self, String> {
        let opened = Connection::over(ports, conn, input, host).await;
        let connection = opened.map_err(|broken| broken.to_string())?;
        Ok(Self {
            connection,
            host: host.to_owned(),
        })
    }

    /// Another message can be sent.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.connection.is_ready()
    }

    /// Hands a message over, as to a server that we have found.
    ///
    /// # Cancel safety
    /// Dropped in the middle, the connection is of no use any more.
    pub async fn deliver(&mut self, envelope: &Envelope, message: &dyn Message) -> Report {
        let mut attempt = Attempt::new(envelope, message).waits_for_primary();
        if !self.is_ready() {
            attempt.note(Outcome::temporary(
                (4, 4, 2),
                "it has closed the connection",
            ));
        } else if attempt.probe().await {
            let Self { connection, host } = self;
            Box::pin(attempt.try_connection(connection, host)).await;
        }
        attempt.finish()
    }

    /// Says goodbye.
    pub async fn quit(self) {
        self.connection.quit().await;
    }
}
