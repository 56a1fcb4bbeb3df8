//! Which cluster: every name, folder and address of a cluster follows from its number, so that
//! several on one machine never meet.

use std::net::Ipv4Addr;

/// The first address of 198.18.0.0/15, which RFC 2544 keeps for tests: nobody's network is there.
const BASE: Ipv4Addr = Ipv4Addr::new(198, 18, 0, 0);

/// How many clusters there can be: each has a /20 of the /15.
pub const CLUSTERS: u8 = 32;

/// The /24s of a cluster's /20: its machines, the pods of node after node, its Services.
const MACHINES: u8 = 0;
const FIRST_PODS: u8 = 1;
const SERVICES: u8 = 8;

/// A cluster's number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Id(u8);

impl Id {
    /// The cluster of this number; 0 is the one that `make cluster` leaves up.
    pub fn new(number: u8) -> Option<Self> {
        (number < CLUSTERS).then_some(Self(number))
    }

    /// What its link is called, and what its cgroups' names begin with.
    pub fn name(self) -> String {
        format!("berth-c{}", self.0)
    }

    /// Where the control plane answers: the API server, and the name server.
    pub fn control(self) -> Ipv4Addr {
        self.address(MACHINES, 1)
    }

    /// This machine's own address on the cluster's network.
    pub fn host(self) -> Ipv4Addr {
        self.address(MACHINES, 254)
    }

    /// The address of the node of this index.
    pub fn node(self, index: u8) -> Ipv4Addr {
        self.address(MACHINES, 11 + index)
    }

    /// The network of that node's pods.
    pub fn pods(self, index: u8) -> String {
        format!("{}/24", self.address(FIRST_PODS + index, 0))
    }

    /// The network of the cluster's Services.
    pub fn services(self) -> String {
        format!("{}/24", self.address(SERVICES, 0))
    }

    /// The address of the Service `kubernetes`: Kubernetes takes the network's first.
    pub fn kubernetes(self) -> Ipv4Addr {
        self.address(SERVICES, 1)
    }

    fn address(self, net: u8, host: u8) -> Ipv4Addr {
        let offset = (u32::from(self.0) << 12) | (u32::from(net) << 8) | u32::from(host);
        Ipv4Addr::from(u32::from(BASE) | offset)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clusters_never_share_a_name_or_an_address() {
        let [first, last] = [Id::new(0).unwrap(), Id::new(31).unwrap()];
        assert_eq!(Id::new(32), None);
        assert_eq!(first.control().to_string(), "198.18.0.1");
        assert_eq!(first.pods(1), "198.18.2.0/24");
        assert_eq!(Id::new(1).unwrap().control().to_string(), "198.18.16.1");
        assert_eq!(last.services(), "198.19.248.0/24");
        assert_eq!(last.name(), "berth-c31");
    }

    #[test]
    fn a_name_fits_a_link() {
        // IFNAMSIZ, less its final zero.
        assert!(Id::new(31).unwrap().name().len() <= 15);
    }
}
