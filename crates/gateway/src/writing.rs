//! A message into something that is written to.

use std::io::{self, Write};

use crate::dress::Form;
use crate::limits::WRITE_BYTES;
use crate::{Handing, Refused};

impl Handing<'_> {
    /// Writes `head` and the message in this form; gives the writer back.
    pub(crate) async fn write<W: Write + Send + 'static>(
        &self,
        mut to: W,
        head: &[u8],
        mut form: Form,
    ) -> Result<W, Refused> {
        let mut out = Vec::with_capacity(WRITE_BYTES);
        out.extend_from_slice(head);
        let mut offset = 0;
        while offset < self.message.size() {
            let part = self.message.read(offset).await?;
            if part.is_empty() {
                let why = "the message is shorter than it says";
                return Err(io::Error::new(io::ErrorKind::UnexpectedEof, why).into());
            }
            offset += part.len() as u64;
            form.push(&part, &mut out);
            if out.len() >= WRITE_BYTES {
                (to, out) = self.write_out(to, out).await?;
            }
        }
        form.finish(&mut out);
        let (to, _) = self.write_out(to, out).await?;
        Ok(to)
    }

    async fn write_out<W: Write + Send + 'static>(
        &self,
        mut to: W,
        mut out: Vec<u8>,
    ) -> Result<(W, Vec<u8>), Refused> {
        let work = move || {
            to.write_all(&out)?;
            out.clear();
            Ok::<_, io::Error>((to, out))
        };
        Ok(self.runtime.blocking(work).await?)
    }
}
