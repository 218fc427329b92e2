//! The checks of a Dockerfile with what this engine knows, for builds and for `--check`.

use std::collections::{BTreeMap, BTreeSet};

use berth_contract::{Class, Error, Result};
use berth_image::Platform;

use super::builder::{Build, lock};
use super::dockerfile::check::{self, Findings, Inputs, KnownImage};
use super::dockerfile::{CheckDirective, Dockerfile, Misread, Stages, check_directive};
use super::ignore::Patterns;
use super::report::Steps;
use super::request::{BuildRequest, NamedContext};
use super::scope::{predefined_arguments, undeclared_arguments};
use crate::engine::Engine;

impl Engine {
    /// Makes the checks of a Dockerfile, as far as it was read. `everything` says whether stages that the target does
    /// not need are looked at, too.
    #[must_use]
    pub fn check_dockerfile(
        &self,
        (file, misread): (&Dockerfile, Option<Misread>),
        (request, ignored): (&BuildRequest, &Patterns),
        directive: &CheckDirective,
        everything: bool,
    ) -> Findings {
        let host = Platform::host();
        let target = request.platforms.first().unwrap_or(&host);
        let stage = file.stage_name(request.target.as_deref());
        let platform = predefined_arguments((target, &host), stage);
        let inputs = Inputs {
            images: self.known_images(file, request, &platform),
            arguments: request.arguments.clone(),
            platform,
            ignored: Some(ignored),
            contexts: request.contexts.keys().cloned().collect(),
            target: request.target.clone(),
            everything,
        };
        check::check(file, misread, directive, &inputs)
    }

    /// Makes the checks before a build; `# check=error=true` makes failures of them.
    pub(super) fn warn_of_dockerfile(
        &self,
        (file, misread): (&Dockerfile, Option<Misread>),
        request: &BuildRequest,
        ignored: &Patterns,
        steps: &Steps<'_>,
    ) -> Result<()> {
        let directive = check_directive_of(file, request)?;
        let found = self.check_dockerfile((file, misread), (request, ignored), &directive, false);
        let text = check::summary(&found.warnings);
        // A mistake is told by the build itself, and counts for more.
        if directive.error && found.failure.is_none() && !text.is_empty() {
            return Err(
                Error::new(Class::Invalid, check::violation(&found.warnings))
                    .caused_by(text.trim().to_owned()),
            );
        }
        if !text.is_empty() {
            steps.warnings(&text);
        }
        Ok(())
    }

    /// The base images that are here, by the names the file has for them.
    fn known_images(
        &self,
        file: &Dockerfile,
        request: &BuildRequest,
        platform: &BTreeMap<String, String>,
    ) -> BTreeMap<String, KnownImage> {
        let store = self.store();
        let mut known = BTreeMap::new();
        let mut seen = BTreeSet::new();
        let (stages, _) = Stages::so_far(file, &request.arguments, platform);
        for stage in &stages.stages {
            for name in std::iter::once(&stage.base_name).chain(&stage.name) {
                let image = match request.named_context(name) {
                    Some(NamedContext::Image(image)) => image,
                    Some(_) => continue,
                    None => name,
                };
                if !seen.insert(name.clone()) {
                    continue;
                }
                let Ok(image) = store.find(image, None) else {
                    continue;
                };
                let wanted = stage.platform.as_ref();
                let wanted = wanted.or(platform.get("TARGETPLATFORM"));
                known.insert(
                    name.clone(),
                    KnownImage {
                        environment: image.config().config.env.clone(),
                        platforms: wanted
                            .map(|wanted| (image.platform().to_string(), wanted.clone())),
                    },
                );
            }
        }
        known
    }
}

impl Build<'_> {
    /// Names what was given and means nothing to this build: arguments, as Docker's first builder did and Podman does.
    pub(super) fn warn_of_request(&self) {
        let mut declared = lock(&self.declared).clone();
        declared.extend(self.file.arguments().map(str::to_owned));
        let unused = undeclared_arguments(&self.request.arguments, &declared);
        if !unused.is_empty() {
            let names = unused.join(" ");
            let text = format!("[Warning] One or more build-args [{names}] were not consumed\n");
            self.steps.warnings(&text);
        }
        if self.request.rewrite_timestamp && self.epoch.is_none() {
            self.steps.warnings(
                "[Warning] rewrite-timestamp changes nothing: no source-date-epoch says to which time\n",
            );
        }
    }
}

/// What the file says of its checks, or the build argument that stands for it.
///
/// # Errors
/// The argument makes no sense.
pub fn check_directive_of(file: &Dockerfile, request: &BuildRequest) -> Result<CheckDirective> {
    match request.arguments.get("BUILDKIT_DOCKERFILE_CHECK") {
        Some(text) => check_directive(text).map_err(|reason| {
            Error::new(Class::Invalid, "cannot use BUILDKIT_DOCKERFILE_CHECK").caused_by(reason)
        }),
        None => Ok(file.directives.check.clone()),
    }
}
