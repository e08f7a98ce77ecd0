//! The issuer's documents: its description (OpenID Connect Discovery 1.0 §4) and the
//! keys that this points to.

use crate::keeper::Source;
use crate::limits::{DOCUMENT_BYTES_MAX, FETCH_TIMEOUT};
use directory::BoxFuture;
use https::{Https, Wanted};
use serde::Deserialize;

/// The keys of an issuer, found through its description.
#[derive(Debug)]
pub(crate) struct Discovery {
    pub(crate) issuer: String,
    pub(crate) configuration: String,
    pub(crate) https: Https,
}

#[derive(Deserialize)]
struct Description {
    issuer: String,
    jwks_uri: String,
}

impl Source for Discovery {
    fn load(&self) -> BoxFuture<'_, Result<Vec<u8>, String>> {
        Box::pin(async {
            let description = self.get(&self.configuration).await?;
            let description: Description =
                serde_json::from_slice(&description).map_err(|error| {
                    format!(
                        "{} does not describe an issuer: {error}",
                        self.configuration
                    )
                })?;
            // OpenID Connect Discovery 1.0 §4.3 (MUST)
            if description.issuer != self.issuer {
                return Err(format!(
                    "{} is about {:?}",
                    self.configuration, description.issuer
                ));
            }
            self.get(&description.jwks_uri).await
        })
    }
}

impl Discovery {
    async fn get(&self, url: &str) -> Result<Vec<u8>, String> {
        let wanted = Wanted {
            url,
            media_type: "application/json",
            bytes_max: DOCUMENT_BYTES_MAX,
            timeout: FETCH_TIMEOUT,
        };
        let got = self.https.get(&wanted).await;
        got.map(|document| document.body)
            .map_err(|failure| format!("{url}: {failure}"))
    }
}
