//! Patterns of paths: `.dockerignore`, `COPY --exclude`, wildcards; as moby's patternmatcher reads them.
//!
//! `*` and `?` stop at a slash, `**` does not, `[a-z]` is one character, `\` takes a character's meaning
//! away, `!` takes an earlier match back. A match of a directory matches what is in it; the last pattern
//! that matches decides.

mod glob;

use std::collections::HashMap;

pub use glob::Glob;

/// An ordered list of patterns.
#[derive(Debug, Clone, Default)]
pub struct Patterns {
    patterns: Vec<Pattern>,
    has_negations: bool,
}

#[derive(Debug, Clone)]
struct Pattern {
    glob: Glob,
    negated: bool,
}

/// Which patterns a directory matched: what is in it need not be compared with them again.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Parent(Vec<bool>);

impl Patterns {
    /// Reads an ignore file.
    ///
    /// # Errors
    /// A pattern is malformed.
    pub fn from_file(text: &str) -> Result<Self, String> {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        let patterns = lines.map(str::trim).filter(|line| !line.is_empty());
        Self::new(patterns.map(|line| {
            let (sign, rest) = match line.strip_prefix('!') {
                Some(rest) => ("!", rest.trim()),
                None => ("", line),
            };
            if rest.is_empty() {
                return sign.to_owned();
            }
            let cleaned = clean(rest);
            let relative = match cleaned.strip_prefix('/') {
                Some(rest) if !rest.is_empty() => rest,
                _ => cleaned.as_str(),
            };
            format!("{sign}{relative}")
        }))
    }

    /// Patterns in order.
    ///
    /// # Errors
    /// A pattern is malformed.
    pub fn new<S: AsRef<str>>(texts: impl IntoIterator<Item = S>) -> Result<Self, String> {
        let mut patterns = Vec::new();
        for text in texts {
            let text = text.as_ref().trim();
            if text.is_empty() {
                continue;
            }
            let (negated, text) = match text.strip_prefix('!') {
                Some("") => return Err("illegal exclusion pattern: \"!\"".to_owned()),
                Some(rest) => (true, rest),
                None => (false, text),
            };
            patterns.push(Pattern {
                glob: Glob::parse(&clean(text))?,
                negated,
            });
        }
        Ok(Self {
            has_negations: patterns.iter().any(|pattern| pattern.negated),
            patterns,
        })
    }

    /// Whether there is no pattern.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.patterns.is_empty()
    }

    /// Whether a path is matched, itself or by a directory it is in.
    #[must_use]
    pub fn matches(&self, path: &str) -> bool {
        let mut parent = Parent::default();
        let mut matched = false;
        for (end, _) in path.match_indices('/').chain([(path.len(), "")]) {
            (matched, parent) = self.matches_within(&path[..end], &parent);
        }
        matched
    }

    /// Whether a path is matched, given what its directory matched; and the same for what is in it.
    #[must_use]
    pub fn matches_within(&self, path: &str, parent: &Parent) -> (bool, Parent) {
        let mut matched = false;
        let mut own = vec![false; self.patterns.len()];
        for (index, pattern) in self.patterns.iter().enumerate() {
            let mut matches = parent.0.get(index).copied().unwrap_or(false);
            if !matches {
                if pattern.negated != matched {
                    continue;
                }
                matches = pattern.glob.matches(path);
            }
            own[index] = matches;
            if matches {
                matched = !pattern.negated;
            }
        }
        (matched, Parent(own))
    }

    /// Whether nothing is left of the whole but what a later pattern takes back.
    #[must_use]
    pub fn ignores_everything(&self) -> bool {
        let decides = |pattern: &&Pattern| pattern.negated || pattern.glob.matches_every_name();
        let last = self.patterns.iter().rfind(decides);
        last.is_some_and(|pattern| !pattern.negated)
    }

    /// Whether something is spared that a matched path names, which may hold wildcards, or that is within it.
    #[must_use]
    pub fn may_spare(&self, path: &str) -> bool {
        let literal = &path[..path.find(['*', '?', '[', '\\']).unwrap_or(path.len())];
        let mut spared = false;
        for pattern in &self.patterns {
            if !pattern.negated {
                let ends = path.match_indices('/').map(|(end, _)| end);
                let mut above = ends.chain([path.len()]).map(|end| &path[..end]);
                spared &= !above.any(|above| pattern.glob.matches(above));
                continue;
            }
            let prefix = pattern.glob.literal_prefix();
            let is_exact = pattern.glob.is_literal() && literal.len() == path.len();
            spared |= if is_exact {
                prefix
                    .strip_prefix(path)
                    .is_some_and(|rest| rest.starts_with('/'))
            } else {
                prefix.starts_with(literal) || literal.starts_with(prefix)
            };
        }
        spared
    }

    /// Whether something within a matched directory may not be matched, so that it has to be looked at.
    #[must_use]
    pub fn may_spare_within(&self, directory: &str) -> bool {
        if !self.has_negations {
            return false;
        }
        let inside = format!("{directory}/");
        self.patterns
            .iter()
            .filter(|pattern| pattern.negated)
            .any(|pattern| {
                let prefix = pattern.glob.literal_prefix();
                inside.starts_with(prefix) || prefix.starts_with(&inside)
            })
    }
}

/// A path without `.`, empty parts and `a/..` (Go's `filepath.Clean`).
#[must_use]
pub fn clean(path: &str) -> String {
    let rooted = path.starts_with('/');
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." if parts.last().is_some_and(|last| *last != "..") => {
                parts.pop();
            }
            ".." if rooted => {}
            part => parts.push(part),
        }
    }
    match (rooted, parts.is_empty()) {
        (true, _) => format!("/{}", parts.join("/")),
        (false, true) => ".".to_owned(),
        (false, false) => parts.join("/"),
    }
}

/// Remembers what directories matched while a tree is walked in any order.
#[derive(Debug, Default)]
pub struct Memory {
    directories: HashMap<String, Parent>,
}

impl Memory {
    /// Whether a path is matched.
    pub fn matches(&mut self, patterns: &Patterns, path: &str) -> bool {
        if patterns.is_empty() {
            return false;
        }
        let parent = self.parent(patterns, path);
        patterns.matches_within(path, &parent).0
    }

    fn parent(&mut self, patterns: &Patterns, path: &str) -> Parent {
        let Some((directory, _)) = path.rsplit_once('/') else {
            return Parent::default();
        };
        if let Some(known) = self.directories.get(directory) {
            return known.clone();
        }
        let above = self.parent(patterns, directory);
        let own = patterns.matches_within(directory, &above).1;
        self.directories.insert(directory.to_owned(), own.clone());
        own
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ignored(file: &str, path: &str) -> bool {
        Patterns::from_file(file).unwrap().matches(path)
    }

    #[test]
    fn paths_are_matched_as_moby_does() {
        for (patterns, path, expected) in [
            ("**", "a/b", true),
            ("**/", "file", true),
            ("**/**", "dir/file", true),
            ("dir/**", "dir/file", true),
            ("dir/**", "dir", false),
            ("dir/**", "dir/dir2/file/", true),
            ("**/dir2/*", "dir/dir2/file", true),
            ("**/dir2/*", "dir/dir2/dir2/file", true),
            ("**file", "file", true),
            ("**file", "dir/file", true),
            ("**file", "dir/dir/file", true),
            ("**/file", "dir/file", true),
            ("**/file", "xfile", false),
            ("**/file*", "dir/dir/file.txt", true),
            ("**/file*txt", "dir/dir/file.txt", true),
            ("**/file*.txt*", "dir/dir/file.txt", true),
            ("**/**/*.txt", "dir/dir/file.txt", true),
            ("**/**/*.txt2", "dir/dir/file.txt", false),
            ("**/*.txt", "file.txt", true),
            ("**/**/*.txt", "file.txt", true),
            ("a**/*.txt", "a/file.txt", true),
            ("a**/*.txt", "a/dir/file.txt", true),
            ("a/*.txt", "a/dir/file.txt", false),
            ("a[b-d]e", "ae", false),
            ("a[b-d]e", "ace", true),
            ("a[b-d]e", "aae", false),
            ("a[^b-d]e", "aze", true),
            (".*", ".foo", true),
            (".*", "foo", false),
            ("abc.def", "abcdef", false),
            ("abc.def", "abc.def", true),
            ("abc?def", "abcZdef", true),
            ("abc?def", "abcdef", false),
            ("a\\\\", "a\\", true),
            ("**/foo/bar", "foo/bar", true),
            ("**/foo/bar", "dir/dir2/foo/bar", true),
            ("abc/**", "abc", false),
            ("abc/**", "abc/def/ghi", true),
            ("**/.foo", "bar/.foo", true),
            ("a(b)c/def", "a(b)c/def", true),
            ("a.|)$(}+{bc", "a.|)$(}+{bc", true),
            (
                "dist/proxy.py-2.4.0rc3.dev36+g08acad9-py3-none-any.whl",
                "dist/proxy.py-2.4.0rc3.dev36+g08acad9-py3-none-any.whl",
                true,
            ),
            (
                "dist/*.whl",
                "dist/proxy.py-2.4.0rc3.dev36+g08acad9-py3-none-any.whl",
                true,
            ),
            ("fileutils.go", "fileutils.go", true),
            ("*.go\n!fileutils.go", "fileutils.go", false),
            ("docs\n!docs/README.md", "docs/README.md", false),
            ("docs\n!docs/README.md", "docs/x", true),
            ("docs/\n!docs/README.md", "docs/README.md", false),
            ("docs/*\n!docs/README.md", "docs/README.md", false),
            ("**\n!/docs/README.md", "docs/README.md", false),
            ("*\n!docs", "docs/x/y", false),
            ("*\n!docs", "other", true),
            ("!a\na", "a", true),
            ("a\n!a\na", "a", true),
            ("/foo", "foo", true),
            ("./foo/", "foo/bar", true),
            ("  foo  ", "foo", true),
            ("# foo", "# foo", false),
            (" # foo", "# foo", true),
            ("a/../foo", "foo", true),
            (
                "util/docker/web\n!util/docker/web/foo",
                "util/docker/web/foo",
                false,
            ),
            ("node_modules", "src/node_modules", false),
            ("**/node_modules", "src/node_modules/a/b", true),
        ] {
            assert_eq!(
                ignored(patterns, path.trim_end_matches('/')),
                expected,
                "{patterns:?} {path:?}"
            );
        }
    }

    #[test]
    fn walking_in_any_order_says_the_same() {
        let patterns = Patterns::from_file("a\n!a/b\na/b/c\n**/d").unwrap();
        let mut memory = Memory::default();
        for path in ["a/b/c/x", "a", "a/b/y", "a/z", "q/d/e", "q/e", "a/b"] {
            assert_eq!(
                memory.matches(&patterns, path),
                patterns.matches(path),
                "{path}"
            );
        }
    }

    #[test]
    fn what_is_copied_may_be_spared_in_part() {
        for (patterns, path, expected) in [
            ("sub\n!sub/b.txt", "sub/a.txt", false),
            ("sub\n!other.txt", "sub/a.txt", false),
            ("!sub/b.txt\nsub", "sub/a.txt", false),
            ("!sub/b.txt\nsub", "sub", false),
            ("sub\n!sub/a.txt", "sub", true),
            ("sub\n!sub/a.txt", "sub/*.txt", true),
            ("sub\n!other/a.txt", "sub/*.txt", false),
            ("su.b\n!su\\.b/keep.txt", "su.b", true),
            ("*\n!**/x", "sub", true),
        ] {
            let patterns = Patterns::from_file(patterns).unwrap();
            assert_eq!(patterns.may_spare(path), expected, "{patterns:?} {path}");
        }
        for (patterns, expected) in [
            ("*", true),
            ("a\n**", true),
            ("**/*\nb", true),
            (".*", false),
            ("*\n!x", false),
            ("!x\n*", true),
            ("", false),
        ] {
            let found = Patterns::from_file(patterns).unwrap().ignores_everything();
            assert_eq!(found, expected, "{patterns:?}");
        }
    }

    #[test]
    fn only_directories_that_may_hold_something_spared_are_entered() {
        let patterns = Patterns::from_file("*\n!docs/a/*.md").unwrap();
        assert!(patterns.may_spare_within("docs") && patterns.may_spare_within("docs/a"));
        assert!(!patterns.may_spare_within("src"));
        assert!(!Patterns::from_file("*").unwrap().may_spare_within("docs"));
        assert!(
            Patterns::from_file("*\n!**/x")
                .unwrap()
                .may_spare_within("src")
        );
    }

    #[test]
    fn malformed_patterns_are_refused() {
        for text in ["[", "a[", "a[]b", "[^]", "[z-", "!", "\\", "a\\"] {
            assert!(Patterns::new([text]).is_err(), "{text}");
        }
        assert!(Patterns::from_file("a\n! \n").is_err());
        assert!(Patterns::new(["", "  "]).unwrap().is_empty());
    }

    #[test]
    fn paths_are_cleaned_as_go_does() {
        for (path, expected) in [
            ("", "."),
            ("a/", "a"),
            ("./a//b/.", "a/b"),
            ("a/../b", "b"),
            ("../a", "../a"),
            ("/../a", "/a"),
            ("/", "/"),
            ("a/..", "."),
        ] {
            assert_eq!(clean(path), expected, "{path}");
        }
    }
}
