//! The destination ports of UDP by which tunnels are told.

/// What a tunnel over UDP carries behind its UDP header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UdpTunnel {
    /// RFC 7348.
    Vxlan,
    /// VXLAN on a port that other protocols use as well: its reserved bits have to be zero.
    StrictVxlan,
    /// draft-ietf-nvo3-vxlan-gpe.
    VxlanGpe,
    /// RFC 8926.
    Geneve,
    /// GTP-U (3GPP TS 29.281).
    Gtp,
    /// RFC 7510.
    Mpls,
}

/// Where Linux put VXLAN before the port was assigned; flannel and others stayed there.
pub const VXLAN_LINUX_PORT: u16 = 8472;

/// Where Cisco ACI has its VXLAN.
pub const VXLAN_ACI_PORT: u16 = 48_879;

/// The ports of all tunnels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TunnelPorts {
    /// A bit for each port, by its lowest six bits: most ports are told to be none by it.
    mask: u64,
    ports: &'static [(u16, UdpTunnel)],
}

impl TunnelPorts {
    /// IANA's assignments, and what is used beside them.
    pub const REGISTERED: Self = Self::new(&[
        (4789, UdpTunnel::Vxlan),
        (VXLAN_LINUX_PORT, UdpTunnel::StrictVxlan),
        (VXLAN_ACI_PORT, UdpTunnel::Vxlan),
        (4790, UdpTunnel::VxlanGpe),
        (6081, UdpTunnel::Geneve),
        (2152, UdpTunnel::Gtp),
        (6635, UdpTunnel::Mpls),
    ]);

    /// The first entry of a port counts.
    pub const fn new(ports: &'static [(u16, UdpTunnel)]) -> Self {
        let (mut mask, mut rest) = (0, ports);
        while let [(port, _), behind @ ..] = rest {
            mask |= 1 << (*port & 63);
            rest = behind;
        }
        Self { mask, ports }
    }

    /// The tunnel on a port, if there is one.
    #[inline]
    pub fn tunnel(&self, port: u16) -> Option<UdpTunnel> {
        if self.mask >> (port & 63) & 1 == 0 {
            return None;
        }
        self.ports.iter().find(|(known, _)| *known == port).map(|(_, tunnel)| *tunnel)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_is_a_tunnels_or_none() {
        let found: Vec<_> = (0..=u16::MAX).filter(|&port| TunnelPorts::REGISTERED.tunnel(port).is_some()).collect();
        assert_eq!(found, [2152, 4789, 4790, 6081, 6635, 8472, 48_879]);
        let ports = TunnelPorts::new(&[(443, UdpTunnel::Vxlan), (443, UdpTunnel::Gtp)]);
        assert_eq!((ports.tunnel(443), ports.tunnel(443 + 64)), (Some(UdpTunnel::Vxlan), None));
    }
}
