//! What a request is about, from its method and path.

use berth_contract::Digest;
use http::Method;

use crate::reference::Reference;
use crate::registry::default_registry;

/// One endpoint of the specification.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Route {
    /// end-1: `/v2/`.
    Version,
    /// end-2, end-10: `/v2/<name>/blobs/<digest>`.
    Blob(Reference, Digest),
    /// end-3, end-7, end-9: `/v2/<name>/manifests/<tag or digest>`.
    Manifest(Reference),
    /// end-4, end-11: `/v2/<name>/blobs/uploads/`.
    NewUpload(Reference),
    /// end-5, end-6, end-13, end-14: `/v2/<name>/blobs/uploads/<id>`.
    Upload(Reference, String),
    /// end-8: `/v2/<name>/tags/list`.
    Tags(Reference),
    /// end-12: `/v2/<name>/referrers/<digest>`.
    Referrers(Reference, Digest),
    /// distribution's own: `/v2/_catalog`.
    Catalog,
}

/// Why a path is none of them.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Unroutable {
    /// There is nothing of that kind.
    Unknown,
    /// The repository's name is none.
    Name,
    /// The digest is none.
    Digest,
    /// The tag is none.
    Tag,
}

impl Route {
    /// Reads a path; a name without a registry belongs to `home`.
    pub(super) fn parse(path: &str, home: &str) -> Result<Self, Unroutable> {
        let repository = |name: &str| repository(name, home);
        let rest = path.strip_prefix("/v2").ok_or(Unroutable::Unknown)?;
        let rest = match rest.strip_prefix('/') {
            None | Some("") if rest.len() <= 1 => return Ok(Self::Version),
            Some("_catalog") => return Ok(Self::Catalog),
            Some(rest) => rest,
            None => return Err(Unroutable::Unknown),
        };
        if let Some(name) = rest.strip_suffix("/tags/list") {
            return Ok(Self::Tags(repository(name)?));
        }
        // The kind is the last but one part, or the last two before an upload's id.
        if let Some((name, id)) = rest.rsplit_once("/blobs/uploads/") {
            let name = repository(name)?;
            return match id {
                "" => Ok(Self::NewUpload(name)),
                id if !id.contains('/') => Ok(Self::Upload(name, id.to_owned())),
                _ => Err(Unroutable::Unknown),
            };
        }
        if let Some(name) = rest.strip_suffix("/blobs/uploads") {
            return Ok(Self::NewUpload(repository(name)?));
        }
        let (front, last) = rest.rsplit_once('/').ok_or(Unroutable::Unknown)?;
        let (name, kind) = front.rsplit_once('/').ok_or(Unroutable::Unknown)?;
        let digest = || {
            last.parse()
                .map_err(|_invalid: berth_contract::Error| Unroutable::Digest)
        };
        match kind {
            "blobs" => Ok(Self::Blob(repository(name)?, digest()?)),
            "referrers" => Ok(Self::Referrers(repository(name)?, digest()?)),
            "manifests" => {
                let base = repository(name)?;
                if last.contains(':') {
                    return Ok(Self::Manifest(base.at(&digest()?)));
                }
                let tagged = Reference::parse(&format!("{}:{last}", base.name()));
                tagged
                    .map(Self::Manifest)
                    .map_err(|_invalid| Unroutable::Tag)
            }
            _ => Err(Unroutable::Unknown),
        }
    }
}

/// Whether a method changes anything.
pub(super) fn is_write(method: &Method) -> bool {
    !matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS)
}

/// A repository's name, with this machine's meaning of it.
fn repository(name: &str, home: &str) -> Result<Reference, Unroutable> {
    // A colon can only be before a port, and so never in the last part.
    if name.contains('@')
        || name
            .rsplit('/')
            .next()
            .is_some_and(|last| last.contains(':'))
    {
        return Err(Unroutable::Name);
    }
    let full = match home {
        home if home != default_registry() && Reference::is_short(name) => {
            format!("{home}/{name}")
        }
        _ => name.to_owned(),
    };
    Reference::parse(&full).map_err(|_invalid| Unroutable::Name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_lead_to_endpoints() {
        let digest = format!("sha256:{}", "a".repeat(64));
        let base = |name: &str| Reference::parse(name).unwrap();
        let at = |path: &str| Route::parse(path, "docker.io");
        assert_eq!(at("/v2/"), Ok(Route::Version));
        assert_eq!(at("/v2"), Ok(Route::Version));
        assert_eq!(at("/v2/_catalog"), Ok(Route::Catalog));
        assert_eq!(at("/v2/a/b/tags/list"), Ok(Route::Tags(base("a/b"))));
        assert_eq!(at("/v2/x/blobs/uploads/"), Ok(Route::NewUpload(base("x"))));
        assert_eq!(
            at("/v2/x/blobs/uploads/1-2"),
            Ok(Route::Upload(base("x"), "1-2".into()))
        );
        assert_eq!(
            at("/v2/x/manifests/1.0"),
            Ok(Route::Manifest(base("x:1.0")))
        );
        assert_eq!(
            at(&format!("/v2/quay.io/a/manifests/{digest}")),
            Ok(Route::Manifest(
                base("quay.io/a").at(&digest.parse().unwrap())
            ))
        );
        assert_eq!(
            at(&format!("/v2/blobs/blobs/{digest}")),
            Ok(Route::Blob(base("blobs"), digest.parse().unwrap()))
        );
        assert_eq!(
            at(&format!("/v2/a/referrers/{digest}")),
            Ok(Route::Referrers(base("a"), digest.parse().unwrap()))
        );
        assert_eq!(
            Route::parse("/v2/a/tags/list", "ghcr.io"),
            Ok(Route::Tags(base("ghcr.io/a")))
        );
        for (path, reason) in [
            ("/", Unroutable::Unknown),
            ("/v1/", Unroutable::Unknown),
            ("/v2x/", Unroutable::Unknown),
            ("/v2/a", Unroutable::Unknown),
            ("/v2/a/blobs/sha256:1", Unroutable::Digest),
            ("/v2/../blobs/uploads/", Unroutable::Name),
            ("/v2/A_/tags/list", Unroutable::Name),
            ("/v2/a:latest/tags/list", Unroutable::Name),
            ("/v2/a/manifests/-x", Unroutable::Tag),
        ] {
            assert_eq!(at(path), Err(reason), "{path}");
        }
    }
}
