//! The values of `--annotation`, as buildx reads them.

use berth_contract::Result;
use berth_host::build::{Annotation, Annotations};
use berth_image::Platform;

use super::sources::invalid;

/// `[KIND[[PLATFORM]][,…]:]NAME=VALUE`, where the kind is `manifest`, `manifest-descriptor` or `index`.
pub(super) fn annotations(texts: &[String]) -> Result<Annotations> {
    let mut all = Annotations::default();
    for text in texts {
        let wrong = |reason: String| invalid("--annotation", text, reason);
        let (left, value) = text
            .split_once('=')
            .ok_or_else(|| wrong("it must be NAME=VALUE".to_owned()))?;
        let (kinds, name) = left.split_once(':').unwrap_or(("manifest", left));
        if name.is_empty() {
            return Err(wrong("it has no name".to_owned()));
        }
        for kind in kinds.split(',') {
            let (kind, platform) =
                match kind.strip_suffix(']').and_then(|kind| kind.split_once('[')) {
                    Some((kind, platform)) => (kind, Some(platform.parse::<Platform>()?)),
                    None => (kind, None),
                };
            let annotation = Annotation {
                platform,
                name: name.to_owned(),
                value: value.to_owned(),
            };
            match (kind, &annotation.platform) {
                ("manifest", _) => all.manifest.push(annotation),
                ("manifest-descriptor", _) => all.entry.push(annotation),
                ("index", None) => {
                    all.index.insert(annotation.name, annotation.value);
                }
                ("index", Some(_)) => return Err(wrong("an index has no platform".to_owned())),
                ("index-descriptor", _) => {
                    return Err(wrong("nothing here describes an index".to_owned()));
                }
                _ => {
                    let known = "manifest, manifest-descriptor and index are there";
                    return Err(wrong(format!("there is no kind {kind:?}")).hint(known));
                }
            }
        }
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn annotations_say_of_what_they_are() {
        let read = |text: &str| annotations(&[text.to_owned()]);
        let one = |platform: Option<&str>| Annotation {
            platform: platform.map(|text| text.parse().unwrap()),
            name: "org.a".to_owned(),
            value: "b=c,d".to_owned(),
        };
        assert_eq!(read("org.a=b=c,d").unwrap().manifest, [one(None)]);
        let several = read("index,manifest[linux/arm64],manifest-descriptor:org.a=b=c,d").unwrap();
        assert_eq!(several.manifest, [one(Some("linux/arm64"))]);
        assert_eq!(several.entry, [one(None)]);
        assert_eq!(several.index["org.a"], "b=c,d");
        for text in [
            "bogus",
            "=x",
            "manifest:=x",
            "list:a=b",
            "index[linux/arm64]:a=b",
            "index-descriptor:a=b",
            "manifest[]:a=b",
            "manifest[linux/arm64:a=b",
        ] {
            assert!(read(text).is_err(), "{text}");
        }
    }
}
