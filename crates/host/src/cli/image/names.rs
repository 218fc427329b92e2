//! The names of a row of `berth images`, and what matches them.

use berth_host::api::types::ImageSummary;
use berth_host::format::filter::matches_wildcard;
use berth_image::Reference;

/// One row's names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Names {
    pub(super) repository: String,
    pub(super) tag: String,
    pub(super) digest: String,
}

pub(super) const NONE: &str = "<none>";

impl Names {
    pub(super) fn of(name: &Reference) -> Self {
        Self {
            repository: name.familiar_name(),
            tag: name.tag().unwrap_or(NONE).to_owned(),
            digest: NONE.to_owned(),
        }
    }

    /// Go's `path.Match` against the repository, or against repository and tag.
    pub(super) fn matches(&self, pattern: &str) -> bool {
        let familiar = pattern
            .strip_prefix("docker.io/library/")
            .or_else(|| pattern.strip_prefix("docker.io/"));
        let pattern = familiar.unwrap_or(pattern);
        let segments = |text: &str| text.split('/').map(str::to_owned).collect::<Vec<_>>();
        let wanted = segments(pattern);
        let same = |name: &str| {
            let own = segments(name);
            own.len() == wanted.len()
                && own
                    .iter()
                    .zip(&wanted)
                    .all(|(own, wanted)| matches_wildcard(own, wanted))
        };
        same(&self.repository)
            || same(&format!("{}:{}", self.repository, self.tag))
            || (self.digest != NONE && same(&format!("{}@{}", self.repository, self.digest)))
    }
}

/// One row for each tag, else one for each digest, else one without a name.
pub(super) fn rows_of(image: &ImageSummary, digests: bool) -> Vec<Names> {
    let by_digest = |repository: &str| {
        let found = image
            .repo_digests
            .iter()
            .filter_map(|name| name.split_once('@'));
        let mut own = found
            .filter(|(name, _)| *name == repository)
            .map(|(_, digest)| digest);
        own.next().unwrap_or(NONE).to_owned()
    };
    let mut rows: Vec<Names> = image
        .repo_tags
        .iter()
        .map(|name| {
            let (repository, tag) = split_tag(name);
            Names {
                digest: by_digest(repository),
                repository: repository.to_owned(),
                tag: tag.to_owned(),
            }
        })
        .collect();
    for (repository, digest) in image
        .repo_digests
        .iter()
        .filter_map(|name| name.split_once('@'))
    {
        let listed = rows.iter().any(|row| row.repository == repository);
        if !listed || (digests && !rows.iter().any(|row| row.digest == digest)) {
            rows.push(Names {
                repository: repository.to_owned(),
                tag: NONE.to_owned(),
                digest: digest.to_owned(),
            });
        }
    }
    if rows.is_empty() {
        let none = NONE.to_owned();
        rows.push(Names {
            repository: none.clone(),
            tag: none.clone(),
            digest: none,
        });
    }
    rows
}

fn split_tag(name: &str) -> (&str, &str) {
    match name.rsplit_once(':') {
        Some((repository, tag)) if !tag.contains('/') => (repository, tag),
        _ => (name, NONE),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image(tags: &[&str], digests: &[&str]) -> ImageSummary {
        ImageSummary {
            id: format!("sha256:{}", "ab".repeat(32)),
            repo_tags: tags.iter().map(|tag| (*tag).to_owned()).collect(),
            repo_digests: digests.iter().map(|digest| (*digest).to_owned()).collect(),
            created: 1000,
            size: 5_580_000,
            platform: "linux/amd64".to_owned(),
            ..ImageSummary::default()
        }
    }

    #[test]
    fn each_tag_is_a_row() {
        let show = |tags: &[&str], digests: &[&str], with| {
            let rows = rows_of(&image(tags, digests), with);
            let text = |row: &Names| format!("{} {} {}", row.repository, row.tag, row.digest);
            rows.iter().map(text).collect::<Vec<_>>().join("; ")
        };
        assert_eq!(show(&[], &[], false), "<none> <none> <none>");
        assert_eq!(show(&["a:1", "a:2"], &[], false), "a 1 <none>; a 2 <none>");
        assert_eq!(show(&["a:1"], &["a@sha256:x"], false), "a 1 sha256:x");
        assert_eq!(show(&[], &["a@sha256:x"], false), "a <none> sha256:x");
        assert_eq!(
            show(&["localhost:5000/a:1"], &[], false),
            "localhost:5000/a 1 <none>"
        );
    }

    #[test]
    fn names_match_like_paths() {
        let names = Names {
            repository: "me/app".to_owned(),
            tag: "1".to_owned(),
            digest: NONE.to_owned(),
        };
        for (pattern, expected) in [
            ("me/app", true),
            ("me/app:1", true),
            ("docker.io/me/app:1", true),
            ("me/*", true),
            ("*/app:*", true),
            ("app", false),
            ("*", false),
            ("me/app:2", false),
        ] {
            assert_eq!(names.matches(pattern), expected, "{pattern}");
        }
    }
}
