//! The values of `--cache-from` and `--cache-to`.

use std::collections::BTreeMap;
use std::path::PathBuf;

use berth_contract::{Class, Digest, Error, Result};
use berth_host::build::{CacheExport, CachePlace};
use berth_image::{Compression, Recompression, Reference};

use super::sources::{invalid, keys};
use crate::cli::parse::{fields, truth};

/// What `--cache-to` asks for.
#[derive(Debug, Default)]
pub(super) struct CacheTargets {
    pub(super) exports: Vec<CacheExport>,
    /// Whether the image itself is to hold one.
    pub(super) inline: bool,
}

type Keys = BTreeMap<String, String>;

/// `type=registry,ref=NAME`, `type=local,src=DIRECTORY`, or names of images.
pub(super) fn caches_from(texts: &[String]) -> Result<Vec<CachePlace>> {
    let flag = "--cache-from";
    let mut places = Vec::new();
    for text in texts {
        if let Some(names) = names(flag, text)? {
            places.extend(names.into_iter().map(CachePlace::Registry));
            continue;
        }
        let mut keys = keys(flag, text)?;
        let place = place(flag, text, &mut keys, "src")?;
        let place = place.ok_or_else(|| {
            invalid(flag, text, "an inline cache lies in its image")
                .hint("--cache-from IMAGE finds it")
        })?;
        nothing_else(flag, text, &keys)?;
        places.push(place);
    }
    Ok(places)
}

/// `type=registry,ref=NAME`, `type=local,dest=DIRECTORY`, `type=inline`, or a name.
pub(super) fn caches_to(texts: &[String]) -> Result<CacheTargets> {
    let flag = "--cache-to";
    let mut targets = CacheTargets::default();
    for text in texts {
        if let Some(names) = names(flag, text)? {
            targets
                .exports
                .extend(names.into_iter().map(|name| CacheExport {
                    place: CachePlace::Registry(name),
                    everything: false,
                    ignores_errors: false,
                    compression: None,
                }));
            continue;
        }
        let mut keys = keys(flag, text)?;
        let everything = match keys.remove("mode").as_deref() {
            None | Some("min") => false,
            Some("max") => true,
            Some(other) => {
                return Err(invalid(flag, text, format!("unknown mode {other:?}"))
                    .hint("min keeps the steps of the result, max those of every stage"));
            }
        };
        let Some(place) = place(flag, text, &mut keys, "dest")? else {
            if everything {
                return Err(
                    invalid(flag, text, "an inline cache holds the image's own steps").hint(
                        "leave mode=max away, or write a cache of its own: type=registry,ref=NAME",
                    ),
                );
            }
            nothing_else(flag, text, &keys)?;
            targets.inline = true;
            continue;
        };
        let mut is = |key: &str, default: bool| match keys.remove(key) {
            Some(value) => truth(&value).map_err(|reason| invalid(flag, text, reason)),
            None => Ok(default),
        };
        let ignores_errors = is("ignore-error", false)?;
        // What newer versions of BuildKit write by default is the only form.
        if !is("oci-mediatypes", true)? || !is("image-manifest", true)? {
            return Err(Error::new(Class::Unsupported, "cannot write such a cache")
                .caused_by("caches are OCI image manifests")
                .hint("leave oci-mediatypes and image-manifest away"));
        }
        let compression = compression(flag, text, &mut keys)?;
        nothing_else(flag, text, &keys)?;
        targets.exports.push(CacheExport {
            place,
            everything,
            ignores_errors,
            compression,
        });
    }
    Ok(targets)
}

/// Names of images; `None` when the text has keys.
fn names(flag: &str, text: &str) -> Result<Option<Vec<Reference>>> {
    let fields = fields(text).map_err(|reason| invalid(flag, text, reason))?;
    if fields.iter().any(|field| field.contains('=')) {
        return Ok(None);
    }
    let names = fields.iter().map(|field| Reference::parse(field.trim()));
    names.collect::<Result<_>>().map(Some)
}

/// Where the cache lies; `None` for one that is in the image.
fn place(flag: &str, text: &str, keys: &mut Keys, path: &str) -> Result<Option<CachePlace>> {
    let kind = keys.remove("type").unwrap_or_default();
    match kind.as_str() {
        "inline" => Ok(None),
        "registry" => {
            let name = keys.remove("ref");
            let name = name.ok_or_else(|| invalid(flag, text, "it needs ref=NAME"))?;
            Ok(Some(CachePlace::Registry(Reference::parse(&name)?)))
        }
        "local" => {
            let needed = || invalid(flag, text, format!("it needs {path}=DIRECTORY"));
            let directory = keys.remove(path).filter(|path| !path.is_empty());
            let digest = keys.remove("digest").map(|digest| digest.parse::<Digest>());
            Ok(Some(CachePlace::Local {
                path: PathBuf::from(directory.ok_or_else(needed)?),
                tag: keys.remove("tag").unwrap_or_else(|| "latest".to_owned()),
                digest: digest.transpose()?,
            }))
        }
        "gha" | "s3" | "azblob" => Err(Error::new(
            Class::Unsupported,
            format!("cannot use a cache of the type {kind}"),
        )
        .caused_by("caches lie in registries and directories")
        .hint("type=registry,ref=NAME works with any registry")),
        "" => Err(invalid(flag, text, "it has no type")),
        other => Err(invalid(flag, text, format!("there is no type {other:?}"))),
    }
}

/// `compression=gzip,compression-level=9,force-compression=true`.
pub(super) fn compression(
    flag: &str,
    text: &str,
    keys: &mut Keys,
) -> Result<Option<Recompression>> {
    let level = keys.remove("compression-level");
    let level = level.map(|level| {
        level
            .parse()
            .map_err(|error| invalid(flag, text, format!("compression-level: {error}")))
    });
    let level = level.transpose()?;
    let force = keys.remove("force-compression");
    let force = force.map(|force| truth(&force).map_err(|reason| invalid(flag, text, reason)));
    let force = force.transpose()?;
    let compression = match keys.remove("compression").as_deref() {
        Some("gzip") => Compression::Gzip,
        Some("zstd") => Compression::Zstd,
        None | Some("uncompressed") if level.is_none() && force != Some(true) => return Ok(None),
        None | Some("uncompressed") => {
            return Err(invalid(flag, text, "it does not say how to compress")
                .hint("add compression=gzip or compression=zstd"));
        }
        Some(other) => {
            return Err(
                invalid(flag, text, format!("there is no compression {other:?}"))
                    .hint("use gzip, zstd or uncompressed"),
            );
        }
    };
    let recompression = Recompression {
        compression,
        level,
        force: force.unwrap_or(false),
    };
    recompression.check()?;
    Ok(Some(recompression))
}

/// Refuses keys that nobody has taken.
pub(super) fn nothing_else(flag: &str, text: &str, keys: &Keys) -> Result<()> {
    match keys.keys().next() {
        Some(unknown) => Err(invalid(flag, text, format!("unexpected key {unknown:?}"))),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(text: &str) -> Vec<String> {
        vec![text.to_owned()]
    }

    #[test]
    fn sources_are_read() {
        let registry = |name: &str| CachePlace::Registry(Reference::parse(name).unwrap());
        let local = |path: &str, tag: &str| CachePlace::Local {
            path: PathBuf::from(path),
            tag: tag.to_owned(),
            digest: None,
        };
        for (text, expected) in [
            ("app:cache", vec![registry("app:cache")]),
            ("a/b,c", vec![registry("a/b"), registry("c")]),
            ("type=registry,ref=r.io/a", vec![registry("r.io/a")]),
            ("type=local,src=/c", vec![local("/c", "latest")]),
            ("type=local,src=c,tag=main", vec![local("c", "main")]),
        ] {
            assert_eq!(caches_from(&texts(text)).unwrap(), expected, "{text}");
        }
        for wrong in [
            "type=local",
            "type=registry",
            "type=gha,scope=x",
            "type=inline",
            "src=/c",
            "type=local,src=/c,mode=max",
            "type=odd",
        ] {
            assert!(caches_from(&texts(wrong)).is_err(), "{wrong}");
        }
    }

    #[test]
    fn targets_are_read() {
        let read = |text: &str| caches_to(&texts(text));
        assert!(read("type=inline").unwrap().inline);
        let found = read(
            "type=registry,ref=a,mode=max,compression=zstd,compression-level=3,ignore-error=true",
        );
        let export = found.unwrap().exports.remove(0);
        assert!(export.everything && export.ignores_errors);
        assert_eq!(export.compression.unwrap().level, Some(3));
        let plain = read("type=local,dest=/c,compression=uncompressed,oci-mediatypes=true");
        assert_eq!(plain.unwrap().exports[0].compression, None);
        for wrong in [
            "type=inline,mode=max",
            "type=local,dest=/c,mode=most",
            "type=local,dest=/c,image-manifest=false",
            "type=local,dest=/c,compression=lzma",
            "type=local,dest=/c,compression-level=3",
            "type=s3,bucket=x",
            "type=local,src=/c",
        ] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }
}
