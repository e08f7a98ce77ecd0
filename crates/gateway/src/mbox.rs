//! An mbox file, in the form called mboxrd: a From line before each message, an
//! empty one behind it, and `>` before every line of a message that looks like the first.

use std::path::Path;

use envelope::Recipient;

use crate::dress::{Dress, Form};
use crate::{Handing, Refused, names};

impl Handing<'_> {
    pub(crate) async fn mbox(
        &self,
        pattern: &Path,
        recipient: &Recipient,
    ) -> Result<String, Refused> {
        let path = names::path(pattern, recipient)?;
        let mut file = self.append(path).await?;
        let look = move || {
            let (is_apart, has_end) = (file.ends_with(b"\n\n")?, file.ends_with(b"\n")?);
            Ok::<_, std::io::Error>((file, is_apart, has_end))
        };
        let (file, is_apart, has_end) = self.runtime.blocking(look).await?;
        let gap = match () {
            () if file.is_empty() || is_apart => "",
            () if has_end => "\n",
            () => "\n\n",
        };
        let mut head = format!("{gap}{}\n", self.separator()).into_bytes();
        Dress::plain().push(self.head(recipient).as_bytes(), &mut head);
        let form = Form::File(Dress::quoting_from());
        let mut file = self.write(file, &head, form).await?;
        let end = move || {
            std::io::Write::write_all(&mut file, b"\n")?;
            file.finish()
        };
        let path = self.runtime.blocking(end).await?;
        Ok(format!("appended to {}", path.display()))
    }

    /// RFC 4155: the sender, and the time in UTC as `asctime` writes it.
    fn separator(&self) -> String {
        let sender = self.envelope.reverse_path.to_string();
        let sender = match sender.trim_matches(['<', '>']) {
            "" => "MAILER-DAEMON",
            sender => sender,
        };
        let seconds = i64::try_from(self.runtime.now().unix_ms / 1000).unwrap_or(0);
        let date = mime::format_date(mime::DateTime {
            unix_seconds: seconds,
            zone_minutes: 0,
        });
        let words: Vec<&str> = date
            .split([' ', ','])
            .filter(|word| !word.is_empty())
            .collect();
        match words.as_slice() {
            [weekday, day, month, year, time, ..] => {
                format!(
                    "From {} {weekday} {month} {day:>2} {time} {year}",
                    sender.replace(' ', "_")
                )
            }
            _ => format!("From {sender} {date}"),
        }
    }
}
