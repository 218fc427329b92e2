//! Hosts that somebody else names: only those of the public internet are asked.
//!
//! Whoever lets strangers name hosts (`serve registry --pull-through`) lends them its place in the network: what
//! listens on this machine alone, its neighbours, and the service at 169.254.169.254 that hands out the
//! machine's credentials in a cloud. So addresses are looked at where they are connected to: a name may lead
//! elsewhere a moment after it was looked up, and registries redirect and name token servers.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use hickory_resolver::TokioResolver;
use hickory_resolver::config::LookupIpStrategy;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::{Method, Url};

use super::access::{Access, Proxy};
use super::failure::Failure;

/// A host that is not asked.
#[derive(Debug, Clone, Copy)]
pub(super) struct NotPublic;

impl fmt::Display for NotPublic {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(
            "it has no address of the public internet, and neither registries.conf nor --pull-through names it",
        )
    }
}

impl std::error::Error for NotPublic {}

/// Refuses a URL that names such an address itself; names are looked at when they are resolved.
///
/// # Errors
/// Only public addresses may be asked, and this is none.
pub(super) fn check(access: &Access, method: &Method, url: &Url) -> Result<(), Failure> {
    if !access.public_only {
        return Ok(());
    }
    let host = url.host_str().unwrap_or_default();
    let address = host.trim_start_matches('[').trim_end_matches(']').parse();
    let refused = match address {
        Ok(address) => !is_public(address),
        // The resolver has to know proxies, which are no registries.
        Err(_name) => hosts_of(&access.proxy).iter().any(|proxy| proxy == host),
    };
    match refused {
        true => Err(Failure::forbidden(method, url)),
        false => Ok(()),
    }
}

/// Finds the addresses of names and leaves out those that are not public.
pub(super) struct PublicOnly {
    resolver: Arc<TokioResolver>,
    /// Whom the administrator chose: the proxies.
    trusted: Vec<String>,
}

impl PublicOnly {
    pub(super) fn new(proxy: &Proxy) -> Result<Self, hickory_resolver::net::NetError> {
        let mut builder = TokioResolver::builder_tokio()?;
        builder.options_mut().ip_strategy = LookupIpStrategy::Ipv6AndIpv4;
        Ok(Self {
            resolver: Arc::new(builder.build()?),
            trusted: hosts_of(proxy),
        })
    }
}

impl Resolve for PublicOnly {
    fn resolve(&self, name: Name) -> Resolving {
        let resolver = Arc::clone(&self.resolver);
        let trusted = self.trusted.iter().any(|host| host == name.as_str());
        Box::pin(async move {
            let found = resolver.lookup_ip(name.as_str()).await?;
            let addresses = found.iter().filter(|one| trusted || is_public(*one));
            let addresses: Vec<SocketAddr> = addresses.map(|one| (one, 0).into()).collect();
            match addresses.is_empty() {
                true => Err(NotPublic.into()),
                false => Ok(Box::new(addresses.into_iter()) as Addrs),
            }
        })
    }
}

fn hosts_of(proxy: &Proxy) -> Vec<String> {
    let urls = [&proxy.http, &proxy.https].into_iter().flatten();
    let host = |text: &String| {
        // As reqwest takes them: a proxy may be written without its scheme.
        let url = Url::parse(text).ok().filter(Url::has_host);
        let url = url.or_else(|| Url::parse(&format!("http://{text}")).ok());
        url?.host_str().map(str::to_owned)
    };
    urls.filter_map(host).collect()
}

/// Whether an address is one of the public internet, for anybody.
fn is_public(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => match address.segments() {
            // NAT64 (RFC 6052) and 6to4 (RFC 3056) lead to an address of IPv4.
            [0x64, 0xff9b, 0, 0, 0, 0, high, low] | [0x2002, high, low, ..] => {
                let bits = u32::from(high) << 16 | u32::from(low);
                is_public_v4(Ipv4Addr::from_bits(bits))
            }
            // So does Teredo, by ways of its own.
            [0x2001, 0, ..] => false,
            // Global unicast is all of 2000::/3, and nothing else.
            [first, ..] => first & 0xe000 == 0x2000,
        },
    }
}

/// By the IANA registry of special-purpose addresses.
fn is_public_v4(address: Ipv4Addr) -> bool {
    !matches!(
        address.octets(),
        [0 | 10 | 127 | 224.., ..]
            // Shared by carriers, and by some clouds for their metadata.
            | [100, 64..=127, ..]
            | [169, 254, ..]
            | [172, 16..=31, ..]
            | [192, 0, 0, _]
            | [192, 168, ..]
            | [198, 18..=19, ..]
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_addresses_of_the_public_internet_are_public() {
        for public in [
            "1.1.1.1",
            "100.63.255.255",
            "100.128.0.1",
            "172.15.0.1",
            "172.32.0.1",
            "192.0.66.1",
            "198.20.0.1",
            "2606:4700::1111",
            "64:ff9b::101:101",
            "2002:0101:0101::1",
        ] {
            assert!(is_public(public.parse().unwrap()), "{public}");
        }
        for private in [
            "0.0.0.0",
            "10.1.2.3",
            "100.100.100.200",
            "127.0.0.53",
            "169.254.169.254",
            "172.16.0.1",
            "172.31.255.255",
            "192.0.0.192",
            "192.168.1.1",
            "198.19.0.1",
            "224.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::ffff:127.0.0.1",
            "::7f00:1",
            "64:ff9b::a9fe:a9fe",
            "64:ff9b:1::1",
            "2001::7f00:1",
            "2002:7f00:1::1",
            "fc00::1",
            "fd00:ec2::254",
            "fe80::1",
            "fec0::1",
            "ff02::1",
        ] {
            assert!(!is_public(private.parse().unwrap()), "{private}");
        }
    }

    #[test]
    fn an_address_is_refused_however_it_is_written() {
        let mut access = Access {
            public_only: true,
            ..Access::default()
        };
        access.proxy.https = Some("proxy.test:3128".into());
        let check = |access: &Access, url: &str| {
            check(access, &Method::GET, &Url::parse(url).unwrap()).is_ok()
        };
        for refused in [
            "https://127.0.0.1/v2/",
            "http://2130706433:80/",
            "https://0x7f.1/",
            "https://[::1]:5000/v2/",
            "https://[::ffff:a9fe:a9fe]/",
            "https://proxy.test/",
        ] {
            assert!(!check(&access, refused), "{refused}");
        }
        assert!(check(&access, "https://1.1.1.1/v2/"));
        assert!(check(&access, "https://registry.test/v2/"));
        access.public_only = false;
        assert!(check(&access, "https://127.0.0.1/v2/"));
    }

    #[test]
    fn a_name_leads_to_no_private_address() {
        let runtime = super::super::transport::runtime().unwrap();
        let resolve = |proxy: Proxy| {
            let resolver = PublicOnly::new(&proxy).unwrap();
            let found = runtime.block_on(resolver.resolve("localhost".parse().unwrap()));
            found.map(Iterator::count)
        };
        let error = resolve(Proxy::default()).unwrap_err();
        assert!(error.is::<NotPublic>(), "{error}");
        let proxy = Proxy {
            http: Some("http://me:pw@localhost:3128".into()),
            ..Proxy::default()
        };
        assert!(resolve(proxy).unwrap() > 0);
    }
}
