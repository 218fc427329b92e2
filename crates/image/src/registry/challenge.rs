//! What a registry's `WWW-Authenticate` asks for (RFC 9110, section 11; distribution's `spec/auth/token.md`).

use std::collections::BTreeMap;

/// A challenge of a `WWW-Authenticate` header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Challenge {
    Basic,
    Bearer {
        realm: String,
        service: Option<String>,
        scope: Option<String>,
    },
}

impl Challenge {
    /// The strongest challenge of a header that can be answered.
    pub(super) fn parse(header: &str) -> Option<Self> {
        let (scheme, rest) = header
            .trim()
            .split_once([' ', '\t'])
            .unwrap_or((header.trim(), ""));
        if scheme.eq_ignore_ascii_case("basic") {
            return Some(Self::Basic);
        }
        if !scheme.eq_ignore_ascii_case("bearer") {
            return None;
        }
        let mut fields = parameters(rest);
        Some(Self::Bearer {
            realm: fields.remove("realm")?,
            service: fields.remove("service"),
            scope: fields.remove("scope"),
        })
    }
}

/// `key="quoted \" text", key=word`: commas within quotes do not separate.
fn parameters(text: &str) -> BTreeMap<String, String> {
    let mut fields = BTreeMap::new();
    let mut rest = text;
    while let Some((key, value)) = rest.split_once('=') {
        let key = key
            .trim()
            .trim_start_matches(',')
            .trim()
            .to_ascii_lowercase();
        let value = value.trim_start();
        let mut field = String::new();
        rest = "";
        if let Some(quoted) = value.strip_prefix('"') {
            let mut characters = quoted.char_indices();
            while let Some((position, character)) = characters.next() {
                match character {
                    '"' => {
                        rest = &quoted[position + 1..];
                        break;
                    }
                    '\\' => field.extend(characters.next().map(|(_, escaped)| escaped)),
                    other => field.push(other),
                }
            }
        } else if let Some((word, after)) = value.split_once(',') {
            word.trim().clone_into(&mut field);
            rest = after;
        } else {
            value.trim().clone_into(&mut field);
        }
        fields.insert(key, field);
    }
    fields
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn challenges_parse() {
        let bearer = r#"Bearer realm="https://auth.docker.io/token",service="registry.docker.io",scope="repository:a/b:pull,push""#;
        assert_eq!(
            Challenge::parse(bearer),
            Some(Challenge::Bearer {
                realm: "https://auth.docker.io/token".into(),
                service: Some("registry.docker.io".into()),
                scope: Some("repository:a/b:pull,push".into()),
            })
        );
        let odd = r#"bearer service=x , realm="a\"b""#;
        let Some(Challenge::Bearer {
            realm,
            service,
            scope,
        }) = Challenge::parse(odd)
        else {
            panic!()
        };
        assert_eq!(
            (realm.as_str(), service.as_deref(), scope),
            ("a\"b", Some("x"), None)
        );
        assert_eq!(
            Challenge::parse("Basic realm=\"x\""),
            Some(Challenge::Basic)
        );
        assert_eq!(Challenge::parse("Negotiate"), None);
        assert_eq!(Challenge::parse("Bearer service=\"x\""), None);
    }
}
