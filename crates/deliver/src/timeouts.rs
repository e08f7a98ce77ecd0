//! How long a client waits: RFC 5321 §4.5.3.2.

use std::time::Duration;

use smtp_proto::client::Stage;

/// The client's time-outs, by what is waited for.
#[derive(Debug, Clone)]
pub struct Timeouts {
    /// A connection.
    pub connect: Duration,
    /// §4.5.3.2.1: the greeting.
    pub greeting: Duration,
    /// EHLO, STARTTLS, AUTH, RSET.
    pub hello: Duration,
    /// §4.5.3.2.2: MAIL.
    pub mail: Duration,
    /// §4.5.3.2.3: RCPT.
    pub rcpt: Duration,
    /// §4.5.3.2.4: 354.
    pub data_start: Duration,
    /// §4.5.3.2.5: a piece of the message is taken.
    pub data_block: Duration,
    /// §4.5.3.2.6: the final reply. A shorter one makes duplicates (RFC 1047).
    pub data_end: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        let minutes = |n: u64| Duration::from_secs(n * 60);
        Self {
            connect: Duration::from_secs(30),
            greeting: minutes(5),
            hello: minutes(5),
            mail: minutes(5),
            rcpt: minutes(5),
            data_start: minutes(2),
            data_block: minutes(3),
            data_end: minutes(10),
        }
    }
}

impl Timeouts {
    pub(crate) fn of(&self, stage: Stage) -> Duration {
        match stage {
            Stage::Greeting => self.greeting,
            Stage::Hello | Stage::StartTls | Stage::Auth | Stage::Reset => self.hello,
            Stage::Mail => self.mail,
            Stage::Rcpt => self.rcpt,
            Stage::Data => self.data_start,
            Stage::Final => self.data_end,
            Stage::Quit => crate::limits::QUIT_TIMEOUT,
        }
    }
}
