//! What a tag leads to, told before anything is fetched: where other hosts may only be asked for digests, and where
//! a signature has to be verified first.

use berth_contract::{Class, Digest, Error, Result};

use super::client::Client;
use super::configuration::Endpoint;
use super::pull::Question;
use super::signature::verify_signature;

impl Question<'_> {
    /// What a tag leads to, where hosts that may not tell it can be asked for content all the same.
    pub(super) fn resolve(
        &self,
        endpoints: &[Endpoint],
        runtime: &tokio::runtime::Runtime,
    ) -> Result<Option<Digest>> {
        let access = &self.options.access;
        let tag = self
            .reference
            .tag()
            .filter(|_| self.reference.digest().is_none());
        let verified = !self.options.keys.is_empty();
        let needed = verified || endpoints.iter().any(|one| !one.resolves);
        let Some(tag) = tag.filter(|_| needed) else {
            return Ok(None);
        };
        let mut failed = None;
        for endpoint in endpoints.iter().filter(|endpoint| endpoint.resolves) {
            let client = Client::new(endpoint, access, self.progress)?;
            let digest = async {
                match client.digest_of_tag(tag).await {
                    Ok(None) if verified => Ok(Some(client.manifest(tag, None).await?.digest)),
                    digest => digest,
                }
            };
            match runtime.block_on(access.interrupt.unless(digest)) {
                Some(Ok(Some(digest))) => return Ok(Some(digest)),
                // Whoever is asked for all of it next tells why, unless that must not be.
                Some(Ok(None)) => {}
                Some(Err(failure)) => failed = Some(failure),
                None => {
                    let message = format!("cannot pull {}", self.reference.familiar());
                    return Err(access.interrupt.error(&message));
                }
            }
        }
        match failed.filter(|_| verified) {
            None => Ok(None),
            Some(failure) => {
                let (name, registry) = (self.reference.familiar(), self.reference.registry());
                Err(failure.about((self.kind, "pull"), &name, registry))
            }
        }
    }

    pub(super) fn untold(&self) -> Error {
        let message = format!("cannot pull {}", self.reference.familiar());
        Error::new(Class::Denied, message)
            .caused_by("hosts.toml lets no host tell what its tag leads to (capabilities)")
            .hint("name the image by its digest")
    }

    /// Verifies the signature that is asked for. What is fetched next is what was verified: by its digest.
    pub(super) fn verify(&self, resolved: Option<&Digest>) -> Result<()> {
        let keys = &self.options.keys;
        if keys.is_empty() {
            return Ok(());
        }
        match resolved.or(self.reference.digest()) {
            Some(digest) => verify_signature(self.reference, digest, keys, &self.options.access),
            None => Err(self.untold()),
        }
    }
}
