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

/// A text whose URLs name nobody: what a command line tells, in progress and history, that more people read than
/// whoever wrote it. The masks are `BuildKit`'s. A variable is no secret, and who somebody is for ssh is none.
#[must_use]
pub fn urls_without_logins(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("://") {
        shown.push_str(before);
        shown.push_str("://");
        let is_end = |one: char| one.is_whitespace() || "/?#\"'`<>|;&()".contains(one);
        let authority = &after[..after.find(is_end).unwrap_or(after.len())];
        rest = after;
        let Some((login, _)) = authority.rsplit_once('@') else {
            continue;
        };
        let (user, password) = login.split_once(':').unwrap_or((login, ""));
        let is_web = before.ends_with("http") || before.ends_with("https");
        let mask = |text: &str, is_secret| {
            let is_masked = is_secret && !text.is_empty() && !text.contains('$');
            (if is_masked { "xxxxx" } else { text }).to_owned()
        };
        shown.push_str(&mask(user, is_web || !password.is_empty()));
        if login.contains(':') {
            shown.push(':');
            shown.push_str(&mask(password, true));
        }
        rest = &after[login.len()..];
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

    #[test]
    fn urls_of_commands_are_shown_without_logins() {
        for (text, shown) in [
            (
                "RUN curl 'https://me:p@ss@r.example/a?b=c' x@y",
                "RUN curl 'https://xxxxx:xxxxx@r.example/a?b=c' x@y",
            ),
            (
                "git clone https://token@a/b && curl http://:p@b|sh",
                "git clone https://xxxxx@a/b && curl http://:xxxxx@b|sh",
            ),
            (
                "https://$USER:${PASSWORD}@a https://x:$P@a",
                "https://$USER:${PASSWORD}@a https://xxxxx:$P@a",
            ),
            (
                "ssh://git@a/b postgres://me:p@a",
                "ssh://git@a/b postgres://xxxxx:xxxxx@a",
            ),
            ("curl http://a/@b ://", "curl http://a/@b ://"),
        ] {
            assert_eq!(urls_without_logins(text), shown);
        }
    }
}
