//! Names of hosts, addresses, capabilities and the like.

use std::net::IpAddr;

use super::Parsed;

/// `HOST:ADDRESS` or `HOST=ADDRESS`, as `HOST:ADDRESS`; the address may be `host-gateway`.
pub(crate) fn extra_host(text: &str) -> Parsed<String> {
    let reason = || "it must be HOST:ADDRESS".to_owned();
    let (host, address) = text
        .split_once('=')
        .or_else(|| text.split_once(':'))
        .ok_or_else(reason)?;
    if host.is_empty() || host.contains(char::is_whitespace) {
        return Err(reason());
    }
    let bare = address
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'));
    let address = bare.unwrap_or(address);
    if address != "host-gateway" && address.parse::<IpAddr>().is_err() {
        return Err(format!(
            "{address:?} is neither an IP address nor host-gateway"
        ));
    }
    Ok(format!("{host}:{address}"))
}

/// An IP address, printed back in its usual form.
pub(crate) fn address(text: &str) -> Parsed<String> {
    match text.trim().parse::<IpAddr>() {
        Ok(address) => Ok(address.to_string()),
        Err(_) => Err("it is not an IP address".into()),
    }
}

/// A search domain; `.` switches searching off.
pub(crate) fn domain(text: &str) -> Parsed<String> {
    let text = text.trim();
    if text == "." {
        return Ok(text.to_owned());
    }
    let label = |label: &str| {
        !label.is_empty()
            && label.len() <= 63
            && label
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
    };
    let name = text.strip_suffix('.').unwrap_or(text);
    if name.len() <= 253 && name.split('.').all(label) {
        Ok(text.to_owned())
    } else {
        Err("it is not a domain name".into())
    }
}

/// A host name as sethostname(2) takes it: at most 64 bytes.
pub(crate) fn host_name(text: &str) -> Parsed<String> {
    let known = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    if text.len() > 64 {
        return Err("it is longer than 64 characters".into());
    }
    if text.is_empty() || !text.bytes().all(known) {
        return Err("a host name is made of letters, digits, hyphens and dots".into());
    }
    Ok(text.to_owned())
}

/// A file mode creation mask in octal.
pub(crate) fn mask(text: &str) -> Parsed<u32> {
    match u32::from_str_radix(text, 8) {
        Ok(mask) if mask <= 0o777 => Ok(mask),
        _ => Err("it must be an octal number from 0 to 777".into()),
    }
}

/// `stdin`, `stdout` or `stderr`, in any case.
pub(crate) fn stream(text: &str) -> Parsed<String> {
    let lower = text.to_ascii_lowercase();
    match lower.as_str() {
        "stdin" | "stdout" | "stderr" => Ok(lower),
        _ => Err("it must be stdin, stdout or stderr".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn extra_hosts() {
        for (text, expected) in [
            ("db:10.0.0.1", "db:10.0.0.1"),
            ("db=10.0.0.1", "db:10.0.0.1"),
            ("db:::1", "db:::1"),
            ("db:[::1]", "db:::1"),
            ("db=[2001:db8::1]", "db:2001:db8::1"),
            (
                "host.docker.internal:host-gateway",
                "host.docker.internal:host-gateway",
            ),
        ] {
            assert_eq!(extra_host(text).as_deref(), Ok(expected), "{text}");
        }
        for text in ["db", ":10.0.0.1", "db:", "db:nowhere", "a b:10.0.0.1"] {
            assert!(extra_host(text).is_err(), "{text}");
        }
    }

    #[test]
    fn domains_and_host_names() {
        for text in ["example.com", "example.com.", ".", "a_b.c"] {
            assert!(domain(text).is_ok(), "{text}");
        }
        for text in ["", "a..b", "a b", "ä.de"] {
            assert!(domain(text).is_err(), "{text}");
        }
        assert!(host_name("web-1.example").is_ok());
        assert!(host_name("").is_err());
        assert!(host_name(&"a".repeat(65)).is_err());
    }

    #[test]
    fn masks_and_streams() {
        assert_eq!(mask("0022"), Ok(0o22));
        assert!(mask("8").is_err());
        assert!(mask("1000").is_err());
        assert_eq!(stream("STDOUT").as_deref(), Ok("stdout"));
        assert!(stream("both").is_err());
    }
}
