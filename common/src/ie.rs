//! Information elements: (private enterprise number, id) to name and abstract data type.
//!
//! Only the elements that Helios gives a meaning are listed; all others are skipped by the plans and can be
//! mapped to a column by configuration. NetFlow v9 field types share the ids of IANA's elements below 128 by
//! design (RFC 7012 §7.1); Cisco's own ids above 32767, which IPFIX cannot carry without an enterprise bit,
//! appear here with enterprise 0 because that is how v9 sends them.
//!
//! Elements of enterprises are listed apart.
//!
//! Source: IANA "IP Flow Information Export (IPFIX) Entities", RFC 7012, RFC 3954 §8, Cisco ASA NSEL guide.

/// Private enterprise number of reverse elements (RFC 5103 §6.1).
pub const REVERSE_PEN: u32 = 29305;

/// Cisco's private enterprise number. Of this enterprise and the following ones, elements have columns.
pub const CISCO_PEN: u32 = 9;
/// VMware's private enterprise number.
pub const VMWARE_PEN: u32 = 6876;
/// ntop's private enterprise number.
pub const NTOP_PEN: u32 = 35632;
/// Viptela's private enterprise number.
pub const VIPTELA_PEN: u32 = 41916;

/// Identifies an information element: IANA's have enterprise 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Ie {
    /// Private enterprise number; 0 for IANA's elements.
    pub pen: u32,
    /// Number of the element, without the enterprise bit.
    pub id: u16,
}

/// An element of IANA's registry (or a NetFlow v9 field type).
pub const fn iana(id: u16) -> Ie {
    Ie { pen: 0, id }
}

/// Abstract data types of RFC 7012 §3.1, as far as they decide how octets become a column value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Type {
    /// unsigned8 to unsigned64; any width from 1 to 8 octets (reduced-size encoding, RFC 7011 §6.2).
    Unsigned,
    /// 4 octets.
    Ipv4Address,
    /// 16 octets.
    Ipv6Address,
    /// 6 octets.
    MacAddress,
    /// Seconds since the Unix epoch (RFC 7011 §6.1.7).
    DateTimeSeconds,
    /// Milliseconds since the Unix epoch (RFC 7011 §6.1.8).
    DateTimeMilliseconds,
    /// NTP timestamp, 64 bits (RFC 7011 §6.1.9 and §6.1.10: micro- and nanoseconds share the layout).
    DateTimeNtp,
    /// Milliseconds of the exporter's sysUptime (NetFlow v5 to v9 FIRST_SWITCHED and LAST_SWITCHED).
    SysUptime,
    /// Microseconds before the export time of the message (RFC 5102 flowStartDeltaMicroseconds).
    DeltaMicroseconds,
    /// One label of an MPLS stack: 20 bits label, 3 bits EXP, 1 bit bottom of stack.
    MplsLabel,
    /// float32 or float64, by length (RFC 7011 §6.2).
    Float,
    /// UTF-8 text.
    String,
    /// Octets without a meaning of their own.
    OctetArray,
    /// A structured type of RFC 6313.
    List,
}

/// Name and type of an element.
#[derive(Debug, Clone, Copy)]
pub struct Info {
    /// Enterprise and number.
    pub ie: Ie,
    /// IANA's name, in its spelling.
    pub name: &'static str,
    /// The abstract data type (RFC 7012 §3.1).
    pub ty: Type,
}

macro_rules! elements {
    ($($id:literal $name:ident $ty:ident),* $(,)?) => {
        &[$(Info { ie: iana($id), name: stringify!($name), ty: Type::$ty }),*]
    };
}

/// All listed elements, ascending by id.
#[rustfmt::skip]
pub const ELEMENTS: &[Info] = elements![
    1 octetDeltaCount Unsigned, 2 packetDeltaCount Unsigned, 4 protocolIdentifier Unsigned, 5 ipClassOfService Unsigned,
    6 tcpControlBits Unsigned, 7 sourceTransportPort Unsigned, 8 sourceIPv4Address Ipv4Address,
    9 sourceIPv4PrefixLength Unsigned, 10 ingressInterface Unsigned, 11 destinationTransportPort Unsigned,
    12 destinationIPv4Address Ipv4Address, 13 destinationIPv4PrefixLength Unsigned, 14 egressInterface Unsigned,
    15 ipNextHopIPv4Address Ipv4Address, 16 bgpSourceAsNumber Unsigned, 17 bgpDestinationAsNumber Unsigned,
    18 bgpNextHopIPv4Address Ipv4Address, 21 flowEndSysUpTime SysUptime, 22 flowStartSysUpTime SysUptime,
    23 postOctetDeltaCount Unsigned, 24 postPacketDeltaCount Unsigned, 27 sourceIPv6Address Ipv6Address,
    28 destinationIPv6Address Ipv6Address, 29 sourceIPv6PrefixLength Unsigned, 30 destinationIPv6PrefixLength Unsigned,
    31 flowLabelIPv6 Unsigned, 32 icmpTypeCodeIPv4 Unsigned, 34 samplingInterval Unsigned, 35 samplingAlgorithm Unsigned,
    44 sourceIPv4Prefix Ipv4Address, 45 destinationIPv4Prefix Ipv4Address, 48 samplerId Unsigned, 49 samplerMode Unsigned,
    50 samplerRandomInterval Unsigned, 52 minimumTTL Unsigned, 53 maximumTTL Unsigned, 56 sourceMacAddress MacAddress,
    57 postDestinationMacAddress MacAddress, 58 vlanId Unsigned, 59 postVlanId Unsigned, 61 flowDirection Unsigned,
    62 ipNextHopIPv6Address Ipv6Address, 63 bgpNextHopIPv6Address Ipv6Address, 70 mplsTopLabelStackSection MplsLabel,
    71 mplsLabelStackSection2 MplsLabel, 72 mplsLabelStackSection3 MplsLabel, 73 mplsLabelStackSection4 MplsLabel,
    74 mplsLabelStackSection5 MplsLabel, 75 mplsLabelStackSection6 MplsLabel, 76 mplsLabelStackSection7 MplsLabel,
    77 mplsLabelStackSection8 MplsLabel, 78 mplsLabelStackSection9 MplsLabel, 79 mplsLabelStackSection10 MplsLabel,
    80 destinationMacAddress MacAddress, 81 postSourceMacAddress MacAddress, 82 interfaceName String,
    83 interfaceDescription String, 84 samplerName String, 85 octetTotalCount Unsigned, 86 packetTotalCount Unsigned,
    88 fragmentOffset Unsigned, 89 forwardingStatus Unsigned, 94 applicationDescription String, 95 applicationId OctetArray,
    96 applicationName String, 128 bgpNextAdjacentAsNumber Unsigned, 129 bgpPrevAdjacentAsNumber Unsigned,
    136 flowEndReason Unsigned, 139 icmpTypeCodeIPv6 Unsigned,
    147 wlanSSID String, 148 flowId Unsigned, 149 observationDomainId Unsigned,
    150 flowStartSeconds DateTimeSeconds, 151 flowEndSeconds DateTimeSeconds,
    152 flowStartMilliseconds DateTimeMilliseconds, 153 flowEndMilliseconds DateTimeMilliseconds,
    154 flowStartMicroseconds DateTimeNtp, 155 flowEndMicroseconds DateTimeNtp, 156 flowStartNanoseconds DateTimeNtp,
    157 flowEndNanoseconds DateTimeNtp, 158 flowStartDeltaMicroseconds DeltaMicroseconds,
    159 flowEndDeltaMicroseconds DeltaMicroseconds, 160 systemInitTimeMilliseconds DateTimeMilliseconds,
    161 flowDurationMilliseconds Unsigned, 162 flowDurationMicroseconds Unsigned,
    169 destinationIPv6Prefix Ipv6Address, 170 sourceIPv6Prefix Ipv6Address, 171 postOctetTotalCount Unsigned,
    172 postPacketTotalCount Unsigned, 176 icmpTypeIPv4 Unsigned, 177 icmpCodeIPv4 Unsigned, 178 icmpTypeIPv6 Unsigned,
    179 icmpCodeIPv6 Unsigned, 180 udpSourcePort Unsigned, 181 udpDestinationPort Unsigned, 182 tcpSourcePort Unsigned,
    183 tcpDestinationPort Unsigned, 192 ipTTL Unsigned, 195 ipDiffServCodePoint Unsigned,
    196 ipPrecedence Unsigned, 210 paddingOctets OctetArray,
    225 postNATSourceIPv4Address Ipv4Address, 226 postNATDestinationIPv4Address Ipv4Address,
    227 postNAPTSourceTransportPort Unsigned, 228 postNAPTDestinationTransportPort Unsigned, 230 natEvent Unsigned,
    231 initiatorOctets Unsigned, 232 responderOctets Unsigned, 233 firewallEvent Unsigned, 234 ingressVRFID Unsigned,
    235 egressVRFID Unsigned, 236 VRFname String, 239 biflowDirection Unsigned, 243 dot1qVlanId Unsigned,
    245 dot1qCustomerVlanId Unsigned, 252 ingressPhysicalInterface Unsigned, 253 egressPhysicalInterface Unsigned,
    254 postDot1qVlanId Unsigned, 256 ethernetType Unsigned, 281 postNATSourceIPv6Address Ipv6Address,
    282 postNATDestinationIPv6Address Ipv6Address, 291 basicList List, 292 subTemplateList List,
    293 subTemplateMultiList List, 298 initiatorPackets Unsigned, 299 responderPackets Unsigned,
    301 selectionSequenceId Unsigned, 302 selectorId Unsigned,
    304 selectorAlgorithm Unsigned, 305 samplingPacketInterval Unsigned, 306 samplingPacketSpace Unsigned,
    307 samplingTimeInterval Unsigned, 308 samplingTimeSpace Unsigned,
    309 samplingSize Unsigned, 310 samplingPopulation Unsigned,
    311 samplingProbability Float, 312 dataLinkFrameSize Unsigned,
    313 ipHeaderPacketSection OctetArray, 315 dataLinkFrameSection OctetArray,
    322 observationTimeSeconds DateTimeSeconds, 323 observationTimeMilliseconds DateTimeMilliseconds,
    324 observationTimeMicroseconds DateTimeNtp, 325 observationTimeNanoseconds DateTimeNtp,
    329 hashOutputRangeMin Unsigned, 330 hashOutputRangeMax Unsigned, 331 hashSelectedRangeMin Unsigned,
    332 hashSelectedRangeMax Unsigned,
    351 layer2SegmentId Unsigned, 352 layer2OctetDeltaCount Unsigned, 353 layer2OctetTotalCount Unsigned,
    365 staMacAddress MacAddress, 366 staIPv4Address Ipv4Address, 367 wtpMacAddress MacAddress,
    390 flowSelectorAlgorithm Unsigned, 396 samplingFlowInterval Unsigned, 397 samplingFlowSpacing Unsigned,
    398 flowSamplingTimeInterval Unsigned, 399 flowSamplingTimeSpacing Unsigned, 408 dataLinkFrameType Unsigned, 483 bgpCommunity Unsigned,
    484 bgpSourceCommunityList List, 485 bgpDestinationCommunityList List, 489 bgpLargeCommunity OctetArray,
    490 bgpSourceLargeCommunityList List, 491 bgpDestinationLargeCommunityList List,
    40001 postNATSourceIPv4AddressAsa Ipv4Address, 40002 postNATDestinationIPv4AddressAsa Ipv4Address,
    40003 postNAPTSourceTransportPortAsa Unsigned, 40004 postNAPTDestinationTransportPortAsa Unsigned,
    40005 firewallEventAsa Unsigned, 45004 clientIPv4Address Ipv4Address, 45005 serverIPv4Address Ipv4Address,
    45006 clientIPv6Address Ipv6Address, 45007 serverIPv6Address Ipv6Address, 45008 clientTransportPort Unsigned,
    45009 serverTransportPort Unsigned, 56701 appIdPanOs String,
    57591 l7ProtoName String,
];

/// Elements of enterprises that have a column, ascending. Sources: Open vSwitch (`ofproto-dpif-ipfix`, elements of
/// VMware's number), ntop's list of nProbe's elements, Cisco SD-WAN (Viptela), Cisco AVC (also numbered for NetFlow v9, with
/// the enterprise bit in the number).
#[rustfmt::skip]
const ENTERPRISE_ELEMENTS: &[Info] = &[
    Info { ie: Ie { pen: CISCO_PEN, id: 12236 }, name: "clientIPv4Address", ty: Type::Ipv4Address },
    Info { ie: Ie { pen: CISCO_PEN, id: 12237 }, name: "serverIPv4Address", ty: Type::Ipv4Address },
    Info { ie: Ie { pen: CISCO_PEN, id: 12238 }, name: "clientIPv6Address", ty: Type::Ipv6Address },
    Info { ie: Ie { pen: CISCO_PEN, id: 12239 }, name: "serverIPv6Address", ty: Type::Ipv6Address },
    Info { ie: Ie { pen: CISCO_PEN, id: 12240 }, name: "clientTransportPort", ty: Type::Unsigned },
    Info { ie: Ie { pen: CISCO_PEN, id: 12241 }, name: "serverTransportPort", ty: Type::Unsigned },
    Info { ie: Ie { pen: VMWARE_PEN, id: 891 }, name: "tunnelType", ty: Type::Unsigned },
    Info { ie: Ie { pen: VMWARE_PEN, id: 892 }, name: "tunnelKey", ty: Type::Unsigned },
    Info { ie: Ie { pen: VMWARE_PEN, id: 893 }, name: "tunnelSourceIPv4Address", ty: Type::Ipv4Address },
    Info { ie: Ie { pen: VMWARE_PEN, id: 894 }, name: "tunnelDestinationIPv4Address", ty: Type::Ipv4Address },
    Info { ie: Ie { pen: NTOP_PEN, id: 119 }, name: "l7ProtoName", ty: Type::String },
    Info { ie: Ie { pen: VIPTELA_PEN, id: 4321 }, name: "viptelaVpnId", ty: Type::Unsigned },
];

/// Looks an element up; `None` for one without a meaning here.
pub fn info(ie: Ie) -> Option<&'static Info> {
    if ie.pen != 0 {
        return ENTERPRISE_ELEMENTS.iter().find(|info| info.ie == ie);
    }
    ELEMENTS.binary_search_by_key(&ie.id, |info| info.ie.id).ok().and_then(|at| ELEMENTS.get(at))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_ascend_so_that_the_search_finds_each() {
        assert!(ELEMENTS.windows(2).all(|pair| pair[0].ie < pair[1].ie));
        for element in ELEMENTS {
            assert_eq!(info(element.ie).map(|i| i.name), Some(element.name));
        }
    }

    #[test]
    fn an_enterprise_element_is_not_mistaken_for_ianas() {
        assert!(info(Ie { pen: 9, id: 1 }).is_none());
        assert!(info(Ie { pen: NTOP_PEN, id: 1 }).is_none());
        assert_eq!(info(Ie { pen: NTOP_PEN, id: 119 }).map(|i| i.name), Some("l7ProtoName"));
    }
}
