//! From a reference to a complete image.
//!
//! ```text
//!  this thread (tokio)                     two threads
//!  manifest → config → blobs ──► growing files ──► hash, inflate, hash, unpack
//!                                                          │
//!  commit ◄── attributes of implied directories ◄──────────┘
//! ```

use std::collections::VecDeque;

use berth_contract::{Class, Digest, Error, Result};

use super::access::Access;
use super::client::Client;
use super::layers::{Job, stage_layers};
use super::manifest::Received;
use super::signature::{PublicKey, verify_signature};
use super::transport;
use crate::artifact::{Content, check_manifest};
use crate::documents::{CONFIG_LIMIT, Configuration, Descriptor, Document, Manifest, media};
use crate::image::Image;
use crate::platform::{Platform, choose};
use crate::progress::{Event, Progress};
use crate::reference::Reference;
use crate::store::{Store, chain_ids};

/// When to ask the registry; what is usual differs between `pull` and `run`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PullPolicy {
    /// Each time.
    Always,
    /// If the image is not here.
    Missing,
    /// Never.
    Never,
    /// Each time, but an image that is here will do if the registry does not answer.
    Newer,
}

/// How to pull.
#[derive(Debug, Clone)]
pub struct PullOptions {
    /// When to ask the registry.
    pub policy: PullPolicy,
    /// Which entry of an index to take; otherwise the host's, else wasm.
    pub platform: Option<Platform>,
    /// How registries are reached.
    pub access: Access,
    /// Take what is here when the registry is overloaded or broken, and say so.
    pub stale_if_error: bool,
    /// Take nothing that is not signed with one of these keys, here or there; without any nobody is asked.
    pub keys: Vec<PublicKey>,
}

impl Default for PullOptions {
    /// A pull asks the registry each time.
    fn default() -> Self {
        Self {
            policy: PullPolicy::Always,
            platform: None,
            access: Access::default(),
            stale_if_error: false,
            keys: Vec::new(),
        }
    }
}

/// What a pull did.
#[derive(Debug)]
pub struct Pulled {
    /// The image.
    pub image: Image,
    /// Whether anything was fetched.
    pub updated: bool,
}

/// Makes an image of a registry available here.
///
/// # Errors
/// Class `NotFound` and `Denied` as the registry says, `Unavailable` if it does not answer, `Invalid` for
/// content that is not what its digest says, `Unsupported` for what is no image.
pub fn pull(
    store: &Store,
    reference: &Reference,
    options: &PullOptions,
    progress: &dyn Progress,
) -> Result<Pulled> {
    let offline = options.access.offline;
    let here = || store.find(&reference.to_string(), options.platform.as_ref());
    let keep = |image: Image| {
        if !options.keys.is_empty() {
            let named = reference.digest().unwrap_or(image.target());
            verify_signature(reference, named, &options.keys, &options.access)?;
        }
        image.ensure_unpacked()?;
        Ok(Pulled {
            image,
            updated: false,
        })
    };
    let asks = matches!(options.policy, PullPolicy::Always | PullPolicy::Newer);
    if !asks || offline {
        match here() {
            Ok(image) => return keep(image),
            Err(error) if error.class() != Class::NotFound => return Err(error),
            Err(error) if options.policy == PullPolicy::Never => {
                return Err(error.hint(format!("berth pull {}", reference.familiar())));
            }
            Err(error) if offline => {
                return Err(error.caused_by("it is not here, and --offline forbids to fetch it"));
            }
            Err(_absent) => {}
        }
    }
    let familiar = reference.familiar();
    progress.event(&Event::Resolving {
        reference: &familiar,
    });
    let question = Question {
        store,
        reference,
        options,
        progress,
        kind: "image",
    };
    let error = match question.ask_endpoints(&|pull| pull.fetch_all()) {
        Err(error) if error.class() == Class::Unavailable => error,
        pulled => return pulled,
    };
    if options.access.interrupt.is_asked() {
        return Err(error);
    }
    match here() {
        Ok(image) if options.stale_if_error || options.policy == PullPolicy::Newer => {
            let report = berth_contract::Report::from(&error);
            progress.event(&Event::Stale {
                reference: &familiar,
                reason: report.causes.first().unwrap_or(&report.message),
            });
            keep(image)
        }
        Ok(_) => Err(error.hint(format!(
            "an image of that name is here: berth run --pull never {familiar}"
        ))),
        Err(_absent) => Err(error),
    }
}

/// What is asked, whoever answers it.
pub(super) struct Question<'a> {
    pub(super) store: &'a Store,
    pub(super) reference: &'a Reference,
    pub(super) options: &'a PullOptions,
    pub(super) progress: &'a dyn Progress,
    /// `image` or `artifact`.
    pub(super) kind: &'static str,
}

impl Question<'_> {
    /// Asks one host after the other; the first that has it all wins. What the others sent is kept, so that
    /// nothing is fetched twice.
    pub(super) fn ask_endpoints<T>(&self, fetch: &dyn Fn(&Pull<'_>) -> Result<T>) -> Result<T> {
        let registries = &self.options.access.registries;
        let runtime = transport::runtime()?;
        let endpoints = registries.endpoints(self.reference)?;
        let resolved = self.resolve(&endpoints, &runtime)?;
        self.verify(resolved.as_ref())?;
        let by_digest = resolved.is_some() || self.reference.digest().is_some();
        let asked = endpoints.into_iter();
        let mut endpoints = asked.filter(|one| by_digest || one.resolves).peekable();
        loop {
            let Some(endpoint) = endpoints.next() else {
                return Err(self.untold());
            };
            let attempt = || {
                let client = Client::new(&endpoint, &self.options.access, self.progress)?;
                fetch(&Pull {
                    store: self.store,
                    reference: self.reference,
                    options: self.options,
                    progress: self.progress,
                    kind: self.kind,
                    resolved: resolved.as_ref(),
                    client: &client,
                    runtime: &runtime,
                    familiar: self.reference.familiar(),
                })
            };
            match attempt() {
                Err(error)
                    if endpoints.peek().is_some()
                        && error.class() != Class::Internal
                        && !self.options.access.interrupt.is_asked() =>
                {
                    let report = berth_contract::Report::from(&error);
                    self.progress.event(&Event::NextHost {
                        failed: &endpoint.registry,
                        reason: report.causes.first().unwrap_or(&report.message),
                    });
                }
                pulled => return pulled,
            }
        }
    }
}

pub(super) struct Pull<'a> {
    /// What the tag leads to, if somebody else has told.
    resolved: Option<&'a Digest>,
    pub(super) store: &'a Store,
    pub(super) reference: &'a Reference,
    pub(super) options: &'a PullOptions,
    pub(super) progress: &'a dyn Progress,
    kind: &'static str,
    pub(super) client: &'a Client<'a>,
    pub(super) runtime: &'a tokio::runtime::Runtime,
    pub(super) familiar: String,
}

/// A document with everything needed to store it.
pub(super) struct Fetched {
    pub(super) document: Document,
    pub(super) bytes: Vec<u8>,
    pub(super) descriptor: Descriptor,
}

impl Pull<'_> {
    fn fetch_all(&self) -> Result<Pulled> {
        let (target, manifest, config) = self.documents()?;
        let updated = self.content(&target, &manifest, config)?;
        let find = |name: &Reference| {
            let platform = self.options.platform.as_ref();
            self.store.find(&name.to_string(), platform)
        };
        let mut image = find(self.reference)?;
        let fetched = &manifest.descriptor.digest;
        if image.manifest_digest() != fetched {
            // Somebody else has moved the name meanwhile; what was asked for, and verified, is what was fetched.
            image = find(&self.reference.at(fetched))?;
        }
        Ok(Pulled { image, updated })
    }

    pub(super) fn failed(&self, failure: super::failure::Failure) -> Error {
        failure.about(
            (self.kind, "pull"),
            &self.familiar,
            self.reference.registry(),
        )
    }

    /// Waits for an answer, unless it is to wait no more.
    fn wait<T>(
        &self,
        answer: impl Future<Output = std::result::Result<T, super::failure::Failure>>,
    ) -> Result<T> {
        let interrupt = &self.options.access.interrupt;
        let answer = self.runtime.block_on(interrupt.unless(answer));
        let answer = answer.ok_or_else(|| self.interrupted())?;
        answer.map_err(|failure| self.failed(failure))
    }

    pub(super) fn interrupted(&self) -> Error {
        let message = format!("cannot pull {}", self.familiar);
        self.options.access.interrupt.error(&message)
    }

    pub(super) fn fetch(
        &self,
        what: &str,
        expected: Option<&Digest>,
        announced: Option<&str>,
    ) -> Result<Fetched> {
        let known = expected.map(|digest| {
            self.store
                .read_blob(digest, crate::documents::MANIFEST_LIMIT)
        });
        let received = match known {
            Some(Ok(Some(bytes))) => {
                let digest = expected
                    .cloned()
                    .unwrap_or_else(|| crate::store::sha256(&bytes));
                Received {
                    bytes,
                    media_type: None,
                    digest,
                }
            }
            _ => self.wait(self.client.manifest(what, expected))?,
        };
        let announced = received.media_type.as_deref().or(announced);
        let document = Document::parse(&received.bytes, announced)
            .map_err(|error| error.context(format!("cannot pull {}", self.familiar)))?;
        let media_type = document.media_type().to_owned();
        let size = received.bytes.len() as u64;
        let descriptor = Descriptor::new(&media_type, received.digest, size);
        Ok(Fetched {
            document,
            bytes: received.bytes,
            descriptor,
        })
    }

    /// What the reference leads to.
    pub(super) fn target(&self) -> Result<Fetched> {
        let digest = match (self.reference.digest(), self.reference.tag()) {
            (Some(digest), _) => Some(digest.clone()),
            (None, Some(_)) if self.resolved.is_some() => self.resolved.cloned(),
            (None, Some(tag)) => self.wait(self.client.digest_of_tag(tag))?,
            (None, None) => None,
        };
        let what = digest
            .as_ref()
            .map(Digest::as_str)
            .or(self.reference.tag())
            .unwrap_or("latest");
        self.fetch(what, digest.as_ref(), None)
    }

    /// What the reference leads to, the manifest for this platform, and its config.
    fn documents(&self) -> Result<(Fetched, Fetched, Vec<u8>)> {
        let target = self.target()?;
        let manifest = match &target.document {
            Document::Manifest(_) => Fetched {
                document: target.document.clone(),
                bytes: Vec::new(),
                descriptor: target.descriptor.clone(),
            },
            Document::Index(index) => {
                let host = Platform::host();
                let entry = choose(self.options.platform.as_ref(), &host, index.images(&host));
                let entry = entry.ok_or_else(|| self.no_platform(index.images(&host)))?;
                let digest = &entry.digest;
                self.fetch(digest.as_str(), Some(digest), Some(&entry.media_type))?
            }
        };
        let Document::Manifest(inner) = &manifest.document else {
            let reason = "its index leads to another index";
            return Err(
                Error::new(Class::Unsupported, format!("cannot pull {}", self.familiar))
                    .caused_by(reason),
            );
        };
        check_manifest(inner, &self.familiar)?;
        let config = match self.store.read_blob(&inner.config.digest, CONFIG_LIMIT) {
            Ok(Some(bytes)) => bytes,
            _ => self.wait(self.client.small_blob(&inner.config.digest, CONFIG_LIMIT))?,
        };
        Ok((target, manifest, config))
    }

    fn no_platform<'b>(
        &self,
        offered: impl Iterator<Item = (&'b Platform, &'b Descriptor)>,
    ) -> Error {
        let offered: Vec<String> = offered.map(|(platform, _)| platform.to_string()).collect();
        let wanted = self.options.platform.clone().unwrap_or_else(Platform::host);
        Error::new(
            Class::NotFound,
            format!("{} has no image for {wanted}", self.familiar),
        )
        .caused_by(format!("it offers {}", offered.join(", ")))
        .hint("choose one of them with --platform")
    }

    /// Fetches what is missing and commits; whether anything changed.
    fn content(&self, target: &Fetched, manifest: &Fetched, config_bytes: Vec<u8>) -> Result<bool> {
        let Document::Manifest(inner) = &manifest.document else {
            return Ok(false);
        };
        let config = Configuration::parse(&config_bytes)
            .map_err(|error| error.context(format!("cannot pull {}", self.familiar)))?;
        self.check_platform(inner, &config)?;
        let content = Content::of(inner, &config);
        let diff_ids: Vec<Digest> = content
            .archives
            .iter()
            .map(|(_, diff)| diff.clone())
            .collect();
        let chains = chain_ids(&diff_ids);
        let mut transaction = self.store.transaction()?;
        let sizes: Vec<(Digest, u64)> = inner
            .layers
            .iter()
            .map(|layer| (layer.digest.clone(), layer.size))
            .collect();
        self.progress.event(&Event::Layers { layers: &sizes });
        let blobs = self.open_blobs(&transaction, &inner.layers)?;
        let mut jobs = VecDeque::new();
        for blob in &blobs {
            let layers = content.archives.iter().zip(&chains);
            let layers = layers.filter(|((layer, _), _)| layer.digest == blob.descriptor.digest);
            let mut unpacking = false;
            for ((_, diff_id), chain) in layers {
                if !self.store.layer_path(chain).exists() {
                    jobs.push_back(Job {
                        blob,
                        layer: Some((chain.clone(), diff_id.clone())),
                    });
                    unpacking = true;
                }
            }
            if !unpacking && !blob.existed {
                jobs.push_back(Job { blob, layer: None });
            } else if !unpacking {
                let layer = &blob.descriptor.digest;
                self.progress.event(&Event::LayerDone {
                    layer,
                    existed: true,
                });
            }
        }
        let mut updated = !jobs.is_empty();
        let done = self.run(&transaction, &blobs, jobs)?;
        stage_layers(self.store, &mut transaction, done, &chains)?;
        for blob in blobs.iter().filter(|blob| !blob.existed) {
            transaction.add_file(blob.path.clone(), blob.descriptor.digest.clone());
        }
        transaction.add_bytes(&config_bytes, Some(&inner.config.digest))?;
        for fetched in [manifest, target] {
            if !fetched.bytes.is_empty() {
                updated |= !self.store.has_blob(&fetched.descriptor.digest);
                transaction.add_bytes(&fetched.bytes, Some(&fetched.descriptor.digest))?;
            }
        }
        let before = self.store.find(&self.reference.to_string(), None).ok();
        updated |= before.is_none_or(|image| *image.target() != target.descriptor.digest);
        transaction.commit(&[self.reference.kept()], &target.descriptor)?;
        Ok(updated)
    }

    /// A single manifest has no index that could have refused the wrong platform.
    fn check_platform(&self, manifest: &Manifest, config: &Configuration) -> Result<()> {
        let Some(wanted) = &self.options.platform else {
            return Ok(());
        };
        let offered = Platform {
            variant: config.variant.clone(),
            ..Platform::new(&config.os, &config.architecture)
        };
        let silent = config.os.is_empty() || config.architecture.is_empty();
        let module = manifest
            .layers
            .iter()
            .any(|layer| media::is_module(&layer.media_type));
        if silent && (!wanted.is_wasm() || module) || wanted.served_by(&offered).is_some() {
            return Ok(());
        }
        let entry = Descriptor::new("", manifest.config.digest.clone(), 0);
        Err(self.no_platform(std::iter::once((&offered, &entry))))
    }
}
