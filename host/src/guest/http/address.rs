//! Which addresses are the public internet, and which lead somewhere else: into this machine, its network, or nowhere. Pure.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Blocks of addresses that are not the public internet, by the registries of special-purpose addresses. The first that
/// holds an address names it.
const SPECIAL_V4: &[(Ipv4Addr, u8, &str)] = &[
    (Ipv4Addr::new(0, 0, 0, 0), 8, "unspecified"),
    (Ipv4Addr::new(10, 0, 0, 0), 8, "private"),
    (Ipv4Addr::new(100, 64, 0, 0), 10, "carrier-grade NAT"),
    (Ipv4Addr::new(127, 0, 0, 0), 8, "loopback"),
    (Ipv4Addr::new(169, 254, 0, 0), 16, "link-local"),
    (Ipv4Addr::new(172, 16, 0, 0), 12, "private"),
    (Ipv4Addr::new(192, 0, 0, 0), 24, "protocol assignment"),
    (Ipv4Addr::new(192, 0, 2, 0), 24, "documentation"),
    (Ipv4Addr::new(192, 88, 99, 0), 24, "6to4 relay"),
    (Ipv4Addr::new(192, 168, 0, 0), 16, "private"),
    (Ipv4Addr::new(198, 18, 0, 0), 15, "benchmarking"),
    (Ipv4Addr::new(198, 51, 100, 0), 24, "documentation"),
    (Ipv4Addr::new(203, 0, 113, 0), 24, "documentation"),
    (Ipv4Addr::new(224, 0, 0, 0), 4, "multicast"),
    (Ipv4Addr::new(240, 0, 0, 0), 4, "reserved"),
];

const fn v6(head: [u16; 4], tail: [u16; 4]) -> Ipv6Addr {
    let [a, b, c, d] = head;
    let [e, f, g, h] = tail;
    Ipv6Addr::new(a, b, c, d, e, f, g, h)
}

/// The same. What carries an IPv4 address inside is refused whatever that address is: it is a way round the table above.
const SPECIAL_V6: &[(Ipv6Addr, u8, &str)] = &[
    (Ipv6Addr::UNSPECIFIED, 128, "unspecified"),
    (Ipv6Addr::LOCALHOST, 128, "loopback"),
    (v6([0; 4], [0, 0xffff, 0, 0]), 96, "IPv4-mapped"),
    (v6([0; 4], [0xffff, 0, 0, 0]), 96, "IPv4-translated"),
    (v6([0; 4], [0; 4]), 96, "IPv4-compatible"),
    (v6([0x64, 0xff9b, 0, 0], [0; 4]), 96, "NAT64"),
    (v6([0x64, 0xff9b, 1, 0], [0; 4]), 48, "NAT64"),
    (v6([0x100, 0, 0, 0], [0; 4]), 64, "discard-only"),
    (v6([0x2001, 0, 0, 0], [0; 4]), 32, "Teredo"),
    (v6([0x2001, 0, 0, 0], [0; 4]), 23, "protocol assignment"),
    (v6([0x2001, 0xdb8, 0, 0], [0; 4]), 32, "documentation"),
    (v6([0x2002, 0, 0, 0], [0; 4]), 16, "6to4"),
    (v6([0x3fff, 0, 0, 0], [0; 4]), 20, "documentation"),
    (v6([0xfc00, 0, 0, 0], [0; 4]), 7, "unique local"),
    (v6([0xfe80, 0, 0, 0], [0; 4]), 10, "link-local"),
    (v6([0xfec0, 0, 0, 0], [0; 4]), 10, "site-local"),
    (v6([0xff00, 0, 0, 0], [0; 4]), 8, "multicast"),
];

/// All public IPv6 addresses are in here.
const GLOBAL_UNICAST: (Ipv6Addr, u8) = (v6([0x2000, 0, 0, 0], [0; 4]), 3);

/// What an address is when it is not the public internet.
pub(super) fn special(address: IpAddr) -> Option<&'static str> {
    match address {
        IpAddr::V4(address) => SPECIAL_V4
            .iter()
            .find(|(block, prefix, _)| same_prefix_v4(address, *block, *prefix))
            .map(|(_, _, name)| *name),
        IpAddr::V6(address) => {
            let known = SPECIAL_V6
                .iter()
                .find(|(block, prefix, _)| same_prefix_v6(address, *block, *prefix))
                .map(|(_, _, name)| *name);
            let (block, prefix) = GLOBAL_UNICAST;
            known.or((!same_prefix_v6(address, block, prefix)).then_some("unassigned"))
        }
    }
}

fn same_prefix_v4(one: Ipv4Addr, other: Ipv4Addr, prefix: u8) -> bool {
    let differing = one.to_bits() ^ other.to_bits();
    differing.leading_zeros() >= u32::from(prefix)
}

fn same_prefix_v6(one: Ipv6Addr, other: Ipv6Addr, prefix: u8) -> bool {
    let differing = one.to_bits() ^ other.to_bits();
    differing.leading_zeros() >= u32::from(prefix)
}

/// An address, or a block of them as in `10.1.0.0/16`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Network {
    address: IpAddr,
    prefix: u8,
}

impl Network {
    /// Only ever of one family: `::ffff:10.1.0.1` is not in `10.1.0.0/16`.
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.address, address) {
            (IpAddr::V4(own), IpAddr::V4(address)) => same_prefix_v4(address, own, self.prefix),
            (IpAddr::V6(own), IpAddr::V6(address)) => same_prefix_v6(address, own, self.prefix),
            _ => false,
        }
    }
}

impl From<IpAddr> for Network {
    fn from(address: IpAddr) -> Network {
        Network {
            address,
            prefix: bits(address),
        }
    }
}

impl FromStr for Network {
    type Err = String;

    fn from_str(text: &str) -> Result<Network, String> {
        let bad = || {
            format!(
                "`{text}` is neither an address such as 10.1.2.3 nor a block such as 10.1.0.0/16"
            )
        };
        let Some((address, prefix)) = text.split_once('/') else {
            return text.parse::<IpAddr>().map(Network::from).map_err(|_| bad());
        };
        let address: IpAddr = address.parse().map_err(|_| bad())?;
        let prefix: u8 = prefix.parse().map_err(|_| bad())?;
        if prefix > bits(address) {
            return Err(bad());
        }
        Ok(Network { address, prefix })
    }
}

impl TryFrom<String> for Network {
    type Error = String;

    fn try_from(text: String) -> Result<Network, String> {
        text.parse()
    }
}

impl From<Network> for String {
    fn from(network: Network) -> String {
        network.to_string()
    }
}

impl fmt::Display for Network {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.prefix == bits(self.address) {
            self.address.fmt(out)
        } else {
            write!(out, "{}/{}", self.address, self.prefix)
        }
    }
}

fn bits(address: IpAddr) -> u8 {
    match address {
        IpAddr::V4(_) => 32,
        IpAddr::V6(_) => 128,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(address: &str) -> Option<&'static str> {
        special(address.parse().expect(address))
    }

    #[test]
    fn every_range_is_known_at_both_of_its_ends() {
        for (first, last, name) in [
            ("0.0.0.0", "0.255.255.255", "unspecified"),
            ("10.0.0.0", "10.255.255.255", "private"),
            ("100.64.0.0", "100.127.255.255", "carrier-grade NAT"),
            ("127.0.0.0", "127.255.255.255", "loopback"),
            ("169.254.0.0", "169.254.255.255", "link-local"),
            ("172.16.0.0", "172.31.255.255", "private"),
            ("192.0.0.0", "192.0.0.255", "protocol assignment"),
            ("192.0.2.0", "192.0.2.255", "documentation"),
            ("192.88.99.0", "192.88.99.255", "6to4 relay"),
            ("192.168.0.0", "192.168.255.255", "private"),
            ("198.18.0.0", "198.19.255.255", "benchmarking"),
            ("198.51.100.0", "198.51.100.255", "documentation"),
            ("203.0.113.0", "203.0.113.255", "documentation"),
            ("224.0.0.0", "239.255.255.255", "multicast"),
            ("240.0.0.0", "255.255.255.255", "reserved"),
            ("::", "::", "unspecified"),
            ("::1", "::1", "loopback"),
            ("::2", "::ffff:ffff", "IPv4-compatible"),
            ("::ffff:0.0.0.0", "::ffff:255.255.255.255", "IPv4-mapped"),
            ("::ffff:0:0:0", "::ffff:0:ffff:ffff", "IPv4-translated"),
            ("64:ff9b::", "64:ff9b::255.255.255.255", "NAT64"),
            ("64:ff9b:1::", "64:ff9b:1:ffff:ffff:ffff:ffff:ffff", "NAT64"),
            ("100::", "100::ffff:ffff:ffff:ffff", "discard-only"),
            ("2001::", "2001:0:ffff:ffff:ffff:ffff:ffff:ffff", "Teredo"),
            (
                "2001:1::",
                "2001:1ff:ffff:ffff:ffff:ffff:ffff:ffff",
                "protocol assignment",
            ),
            (
                "2001:db8::",
                "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff",
                "documentation",
            ),
            ("2002::", "2002:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "6to4"),
            (
                "3fff::",
                "3fff:fff:ffff:ffff:ffff:ffff:ffff:ffff",
                "documentation",
            ),
            (
                "4000::",
                "fbff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
                "unassigned",
            ),
            (
                "fc00::",
                "fdff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
                "unique local",
            ),
            (
                "fe80::",
                "febf:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
                "link-local",
            ),
            (
                "fec0::",
                "feff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
                "site-local",
            ),
            (
                "ff00::",
                "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
                "multicast",
            ),
        ] {
            assert_eq!(kind(first), Some(name), "{first}");
            assert_eq!(kind(last), Some(name), "{last}");
        }
    }

    #[test]
    fn what_lies_between_them_is_public() {
        for address in [
            "1.0.0.0",
            "1.1.1.1",
            "9.255.255.255",
            "11.0.0.0",
            "100.63.255.255",
            "100.128.0.0",
            "126.255.255.255",
            "128.0.0.0",
            "169.253.255.255",
            "169.255.0.0",
            "172.15.255.255",
            "172.32.0.0",
            "192.0.1.0",
            "192.0.3.0",
            "192.88.98.255",
            "192.88.100.0",
            "192.167.255.255",
            "192.169.0.0",
            "198.17.255.255",
            "198.20.0.0",
            "198.51.99.255",
            "198.51.101.0",
            "203.0.112.255",
            "203.0.114.0",
            "223.255.255.255",
            "2000::",
            "2001:200::",
            "2001:db7:ffff::",
            "2001:db9::",
            "2001:ffff::",
            "2003::",
            "2606:4700:4700::1111",
            "2a00::",
            "3ffe:ffff::",
            "3fff:1000::",
        ] {
            assert_eq!(kind(address), None, "{address}");
        }
    }

    #[test]
    fn an_ipv4_address_cannot_hide_in_an_ipv6_one() {
        for hidden in [
            "::ffff:127.0.0.1",
            "::ffff:8.8.8.8",
            "::127.0.0.1",
            "64:ff9b::127.0.0.1",
            "64:ff9b:1::10.0.0.1",
            "2002:7f00:1::",
            "2002:a00:1::1",
            "::ffff:0:127.0.0.1",
            "2001:0:7f00:1::",
        ] {
            assert!(kind(hidden).is_some(), "{hidden}");
        }
    }

    #[test]
    fn a_network_holds_its_own_family_alone() {
        let network: Network = "10.1.0.0/16".parse().expect("a block");
        let holds = |address: &str| network.contains(address.parse().expect(address));
        assert!(holds("10.1.0.0") && holds("10.1.255.255"));
        assert!(!holds("10.2.0.0") && !holds("::ffff:10.1.0.1"));
        let one: Network = "fd00::1".parse().expect("an address");
        assert!(one.contains("fd00::1".parse().expect("v6")));
        assert!(!one.contains("fd00::2".parse().expect("v6")));
        let all: Network = "0.0.0.0/0".parse().expect("a block");
        assert!(all.contains("203.0.113.1".parse().expect("v4")));
    }

    #[test]
    fn a_network_is_written_as_it_is_read() {
        for text in ["10.1.0.0/16", "127.0.0.1", "fd00::/8", "::1"] {
            let network: Network = text.parse().expect(text);
            assert_eq!(network.to_string(), text);
        }
        for text in [
            "",
            "10.1",
            "10.1.0.0/33",
            "fd00::/129",
            "mail.example.com",
            "10.1.0.0/",
            "/8",
        ] {
            let error = text.parse::<Network>().expect_err(text);
            assert!(error.contains(text), "{error}");
        }
    }
}
