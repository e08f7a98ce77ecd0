//! A bucket that speaks S3 as a target, by the `object_store` crate.
//!
//! A file is sent in parts and shows when the last is confirmed; it is read in
//! ranges, so that a broken connection costs one of them. Parts of an upload
//! that was never finished stay unseen in the bucket until its own rule for
//! them removes them.

use super::{Target, TargetFile, TargetWriter};
use crate::limits::{S3_PART_BYTES, S3_RANGE_BYTES};
use bytes::{Buf as _, Bytes};
use object_store::aws::{AmazonS3, AmazonS3Builder};
use object_store::path::Path;
use object_store::{
    GetOptions, GetRange, MultipartUpload, ObjectStore as _, ObjectStoreExt as _, PutPayload,
};
use runtime::Runtime;
use std::fmt;
use std::io::{self, Read, Write};
use std::sync::Arc;

/// How to reach a bucket. What is not given is taken from the environment
/// (`AWS_ACCESS_KEY_ID` and so on), as every tool does.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Access {
    /// The service's address, such as `https://s3.example.net`; none is AWS.
    pub endpoint: Option<String>,
    /// The region.
    pub region: Option<String>,
    /// The access key and its secret.
    pub key: Option<(String, String)>,
}

impl fmt::Debug for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Access")
            .field("endpoint", &self.endpoint)
            .field("region", &self.region)
            .finish_non_exhaustive()
    }
}

/// A bucket, or what lies below a prefix of it.
#[derive(Debug)]
pub struct Bucket {
    store: Arc<AmazonS3>,
    runtime: Runtime,
    /// Empty, or ends with `/`.
    prefix: String,
    name: String,
}

impl Bucket {
    /// The bucket of `s3://bucket/prefix`.
    ///
    /// # Errors
    /// The address is none, or the access is not complete.
    pub fn new(url: &str, access: &Access, runtime: Runtime) -> io::Result<Self> {
        let wrong = || {
            io::Error::new(
                io::ErrorKind::InvalidInput,
                format!("{url:?} is not of the form s3://bucket/prefix"),
            )
        };
        let rest = url.strip_prefix("s3://").ok_or_else(wrong)?;
        let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        if bucket.is_empty() {
            return Err(wrong());
        }
        let prefix = prefix.trim_matches('/');
        let mut builder = AmazonS3Builder::from_env().with_bucket_name(bucket);
        if let Some(endpoint) = &access.endpoint {
            builder = builder
                .with_endpoint(endpoint)
                .with_allow_http(endpoint.starts_with("http://"));
        }
        if let Some(region) = &access.region {
            builder = builder.with_region(region);
        }
        if let Some((id, secret)) = &access.key {
            builder = builder
                .with_access_key_id(id)
                .with_secret_access_key(secret);
        }
        let store = builder.build().map_err(io::Error::other)?;
        Ok(Self {
            store: Arc::new(store),
            runtime,
            prefix: match prefix {
                "" => String::new(),
                prefix => format!("{prefix}/"),
            },
            name: url.to_owned(),
        })
    }

    fn path(&self, name: &str) -> Path {
        Path::from(format!("{}{name}", self.prefix))
    }
}

impl Target for Bucket {
    fn describe(&self) -> String {
        self.name.clone()
    }

    fn list(&self, prefix: &str) -> io::Result<Vec<TargetFile>> {
        let mut files = Vec::new();
        let mut folders = vec![self.path(prefix.rsplit_once('/').map_or("", |(f, _)| f))];
        while let Some(folder) = folders.pop() {
            let listed = self.store.list_with_delimiter(Some(&folder));
            let listed = self.runtime.block_on(listed)?;
            folders.extend(listed.common_prefixes);
            for object in listed.objects {
                let name = object.location.as_ref();
                if let Some(name) = name.strip_prefix(&self.prefix)
                    && name.starts_with(prefix)
                {
                    files.push(TargetFile {
                        name: name.to_owned(),
                        len: object.size,
                    });
                }
            }
        }
        files.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        Ok(files)
    }

    fn open(&self, name: &str) -> io::Result<Box<dyn Read + Send>> {
        let mut reader = Reader {
            store: Arc::clone(&self.store),
            runtime: self.runtime.clone(),
            path: self.path(name),
            at: 0,
            len: None,
            range: Bytes::new(),
        };
        // Whether it is there is known now, not in the middle.
        reader.next_range()?;
        Ok(Box::new(reader))
    }

    fn create(&self, name: &str) -> io::Result<Box<dyn TargetWriter>> {
        Ok(Box::new(Writer {
            store: Arc::clone(&self.store),
            runtime: self.runtime.clone(),
            path: self.path(name),
            part: Vec::new(),
            upload: None,
        }))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        match self.runtime.block_on(self.store.delete(&self.path(name))) {
            Err(object_store::Error::NotFound { .. }) => Ok(()),
            other => Ok(other?),
        }
    }

    fn clean(&self) -> io::Result<()> {
        // What was not finished does not show.
        Ok(())
    }
}

struct Reader {
    store: Arc<AmazonS3>,
    runtime: Runtime,
    path: Path,
    /// Where the next range begins.
    at: u64,
    /// The file's bytes, once known.
    len: Option<u64>,
    range: Bytes,
}

impl Reader {
    fn next_range(&mut self) -> io::Result<()> {
        if self.len.is_some_and(|len| self.at >= len) {
            return Ok(());
        }
        let options = GetOptions {
            range: Some(GetRange::Bounded(self.at..self.at + S3_RANGE_BYTES)),
            ..GetOptions::default()
        };
        let got = self.runtime.block_on(async {
            let got = self.store.get_opts(&self.path, options).await?;
            let len = got.meta.size;
            Ok::<_, object_store::Error>((len, got.bytes().await?))
        });
        let (len, bytes) = got?;
        if bytes.is_empty() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.len = Some(len);
        self.at += bytes.len() as u64;
        self.range = bytes;
        Ok(())
    }
}

impl Read for Reader {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.range.is_empty() {
            self.next_range()?;
        }
        let take = into.len().min(self.range.len());
        self.range.copy_to_slice(&mut into[..take]);
        Ok(take)
    }
}

struct Writer {
    store: Arc<AmazonS3>,
    runtime: Runtime,
    path: Path,
    part: Vec<u8>,
    upload: Option<Box<dyn MultipartUpload>>,
}

impl Writer {
    fn send_part(&mut self) -> io::Result<()> {
        let payload = PutPayload::from(std::mem::take(&mut self.part));
        let (store, path) = (&self.store, &self.path);
        let upload = &mut self.upload;
        self.runtime.block_on(async {
            if upload.is_none() {
                *upload = Some(store.put_multipart(path).await?);
            }
            match upload {
                Some(upload) => upload.put_part(payload).await,
                None => Ok(()),
            }
        })?;
        Ok(())
    }
}

impl Write for Writer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.part.len() >= S3_PART_BYTES {
            self.send_part()?;
        }
        let take = bytes.len().min(S3_PART_BYTES - self.part.len());
        self.part.extend_from_slice(&bytes[..take]);
        Ok(take)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl TargetWriter for Writer {
    fn finish(mut self: Box<Self>) -> io::Result<()> {
        if self.upload.is_none() {
            let payload = PutPayload::from(std::mem::take(&mut self.part));
            let put = self.store.put(&self.path, payload);
            self.runtime.block_on(put)?;
            return Ok(());
        }
        self.send_part()?;
        if let Some(upload) = &mut self.upload {
            self.runtime.block_on(upload.complete())?;
        }
        self.upload = None;
        Ok(())
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        if let Some(upload) = &mut self.upload
            && let Err(error) = self.runtime.block_on(upload.abort())
        {
            tracing::warn!(%error, "parts of an unfinished file stay in the bucket");
        }
    }
}
