//! Texts as they are shown and kept: URLs in them without secrets.

/// A text whose URLs have neither user part nor query: careless URLs carry their secret in the one, signed URLs in
/// the other. Their fragments stay: of a repository they say which branch and directory is meant.
#[must_use]
pub fn urls_without_secrets(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("://") {
        shown.push_str(before);
        shown.push_str("://");
        let is_end = |one: char| one.is_whitespace() || matches!(one, '"' | '\'' | '`' | '<' | '>');
        let (url, others) = after.split_at(after.find(is_end).unwrap_or(after.len()));
        let (authority, path) = url.split_at(url.find(['/', '?', '#']).unwrap_or(url.len()));
        shown.push_str(authority.rsplit('@').next().unwrap_or_default());
        let (path, fragment) = path.split_at(path.find('#').unwrap_or(path.len()));
        shown.push_str(path.split('?').next().unwrap_or_default());
        shown.push_str(fragment);
        rest = others;
    }
    shown.push_str(rest);
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_shown_without_their_secrets() {
        for (text, shown) in [
            ("https://r.example/a/b", "https://r.example/a/b"),
            (
                "https://me:p@ss@r.example:5000/a?sig=x#b",
                "https://r.example:5000/a#b",
            ),
            (
                "ADD http://t@a/x?k=1 \"http://u:p@b?c\" /d",
                "ADD http://a/x \"http://b\" /d",
            ),
            ("ssh://git:x@a/b.git#main:sub@1", "ssh://a/b.git#main:sub@1"),
            ("git@a:b.git", "git@a:b.git"),
            ("http://a/@b", "http://a/@b"),
            ("://", "://"),
            ("", ""),
        ] {
            assert_eq!(urls_without_secrets(text), shown);
        }
    }
}
