#!/usr/bin/env python3
"""Hold the rows of `helios decode` against what the publishers of captures read in them, field by field.

    compare-captures.py --helios PATH DIR [--case NAME ...] [-v]

DIR/cases/<case>/capture.pcap is the input, DIR/cases/<case>/peer/ the publisher's own reading of it, in its field names.
check.py beside the captures compares sums and the first record; this compares every field that both sides have:

    ak-*  Akvorado: all flows in order          pm-*  pmacct: aggregates by its key, packets and octets summed
    ls-*  logstash: chosen events               tg-v5 telegraf: a line a flow         fl-*  fluentd: chosen records

sFlow captures are compared by collector/tests/it/sflow_captures.rs. Every difference is a failure unless it stands in
DIVERGENCES, which docs/decoding.md explains. Nothing of the captures is kept.
"""
import argparse, collections, datetime, functools, ipaddress, json, operator, pathlib, re, subprocess, sys

# (case, column): why the publisher reads something else. An entry that explains nothing is a failure too.
DIVERGENCES = {
    ("ak-ipfix-datalink", "dst_vlan"): "Akvorado writes the tag of the frame that came in to the way out as well",
    ("ak-v9-iosxr-sampler", "next_hop"): "Akvorado has one column for both: it is in bgp_next_hop here",
    ("ls-v9-streamcore", "flow_start"): "logstash's expectation has no milliseconds there",
    ("ls-v9-streamcore", "flow_end"): "logstash's expectation has no milliseconds there",
    ("pm-500-ipfix-bgp-srv6", "flow_start"): "pmacct takes the export time for sysUptime, Helios the announced boot time",
    ("pm-502-ipfix-bgp-srv6-lcomms", "flow_start"): "pmacct takes the export time for sysUptime, Helios the boot time",
    ("pm-502-ipfix-bgp-srv6-lcomms", "vrf_name"): "pmacct names the VRF that has a distinguisher, Helios the ingress VRF",
    ("pm-500-ipfix-bgp-srv6", "vrf_name"): "pmacct names the VRF that has a distinguisher, Helios the ingress VRF",
    ("pm-502-ipfix-bgp-srv6-lcomms", "src_mask"): "pmacct takes prefix lengths from BGP here, Helios from the record",
    ("pm-502-ipfix-bgp-srv6-lcomms", "dst_mask"): "pmacct takes prefix lengths from BGP here, Helios from the record",
    ("pm-500-ipfix-bgp-srv6", "src_mask"): "pmacct takes prefix lengths from BGP here, Helios from the record",
    ("pm-500-ipfix-bgp-srv6", "dst_mask"): "pmacct takes prefix lengths from BGP here, Helios from the record",
    ("pm-400b-ipfix-srv6", "src_mask"): "pmacct takes prefix lengths from BGP here, Helios from the record",
    ("pm-400b-ipfix-srv6", "dst_mask"): "pmacct takes prefix lengths from BGP here, Helios from the record",
    ("pm-400a-ipfix-srv6", "src_mask"): "pmacct takes prefix lengths from BGP here, Helios from the record",
    ("pm-400a-ipfix-srv6", "dst_mask"): "pmacct takes prefix lengths from BGP here, Helios from the record",
}


def address(text):
    parsed = ipaddress.ip_address(text)
    return getattr(parsed, "ipv4_mapped", None) or parsed


def moment(text):
    """Milliseconds; logstash leaves a placeholder behind them, and cuts what is finer."""
    if isinstance(text, int):
        return text
    found = re.match(r"(\d+-\d+-\d+T\d+:\d+:\d+)(?:\.(\d{3}))?", text)
    seconds = datetime.datetime.fromisoformat(found[1] + "+00:00").timestamp()
    return int(seconds) * 1000 + int(found[2] or 0)


def seconds(value):
    return value * 1000 if isinstance(value, int) else moment(value)


class Switched:
    """A time that logstash made of sysUptime: it forgets the borrow when it takes milliseconds from whole seconds, which
    makes it a second late, and it does not wrap at 2^32 ms."""
    OFF = (1000, 1 << 32, (1 << 32) + 1000)

    def __init__(self, text):
        self.at = moment(text)

    def __repr__(self):
        return str(self.at)


def mac(value):
    if isinstance(value, int):
        value = ":".join(f"{octet:02x}" for octet in value.to_bytes(6, "big"))
    return value.lower()


DIRECTIONS = {0: "ingress", 1: "egress"}
END_REASONS = {1: "idle_timeout", 2: "active_timeout", 3: "end_of_flow", 4: "forced_end", 5: "lack_of_resources"}
PROTOCOLS = {"tcp": 6, "udp": 17, "icmp": 1, "ipv6-icmp": 58, "ipv4": 4, "ipencap": 4, "ipip": 4, "vrrp": 112, "gre": 47, "hopopt": 0,
             "ospf": 89, "pim": 103, "ipv6": 41}
TCP = {"FIN": 1, "SYN": 2, "RST": 4, "PSH": 8, "ACK": 16, "URG": 32, "ECN": 64, "CWR": 128}
FORWARDING = {"UNKNOWN Unclassified": 0, "FORWARDED Unknown": 64, "FORWARDED Not Fragmented": 66, "DROPPED Unknown": 128,
              "CONSUMED For us": 195}
same = lambda value: value

# Publisher's field -> (column, conversion).
AKVORADO = {
    "SrcAddr": ("src_addr", address), "DstAddr": ("dst_addr", address), "SrcPort": ("src_port", same),
    "DstPort": ("dst_port", same), "Proto": ("proto", same), "Bytes": ("bytes", same), "Packets": ("packets", same),
    "InIf": ("in_if_index", same), "OutIf": ("out_if_index", same), "SrcVlan": ("src_vlan", same),
    "DstVlan": ("dst_vlan", same), "EType": ("ether_type", same), "SrcMAC": ("src_mac", mac), "DstMAC": ("dst_mac", mac),
    "IPTTL": ("ttl", same), "IPTos": ("tos", same), "TCPFlags": ("tcp_flags", same), "SrcAS": ("src_as", same),
    "DstAS": ("dst_as", same), "SrcNetMask": ("src_mask", same), "DstNetMask": ("dst_mask", same),
    "NextHop": ("next_hop", address), "IPv6FlowLabel": ("ipv6_flow_label", same), "FlowDirection": ("flow_direction", same),
    "ForwardingStatus": ("forwarding_status", same), "MPLSLabels": ("mpls_labels", same),
    "IngressVRFID": ("ingress_vrf_id", same), "EgressVRFID": ("egress_vrf_id", same), "ICMPv4Type": ("icmp_type", same),
    "ICMPv6Type": ("icmp_type", same), "SamplingRate": ("sampling_interval", lambda rate: rate or 1),
}
LOGSTASH = {
    "ipv4_src_addr": ("src_addr", address), "ipv4_dst_addr": ("dst_addr", address), "ipv4_next_hop": ("next_hop", address),
    "bgp_ipv4_next_hop": ("bgp_next_hop", address), "l4_src_port": ("src_port", same), "l4_dst_port": ("dst_port", same),
    "protocol": ("proto", same), "in_bytes": ("bytes", same), "in_pkts": ("packets", same),
    "in_permanent_bytes": ("bytes", same), "input_snmp": ("in_if_index", same), "output_snmp": ("out_if_index", same),
    "first_switched": ("flow_start", Switched), "last_switched": ("flow_end", Switched), "tcp_flags": ("tcp_flags", same),
    "src_tos": ("tos", same), "src_as": ("src_as", same), "dst_as": ("dst_as", same), "src_mask": ("src_mask", same),
    "dst_mask": ("dst_mask", same), "src_vlan": ("src_vlan", same), "dst_vlan": ("dst_vlan", same),
    "icmp_type": ("icmp_type", same), "icmp_code": ("icmp_code", same), "xlate_src_addr_ipv4": ("post_nat_src_addr", address),
    "xlate_dst_addr_ipv4": ("post_nat_dst_addr", address), "xlate_src_port": ("post_nat_src_port", same),
    "xlate_dst_port": ("post_nat_dst_port", same), "fw_event": ("firewall_event", same),
    "direction": ("flow_direction", DIRECTIONS.get), "in_src_mac": ("src_mac", mac), "in_dst_mac": ("dst_mac", mac),
    "out_src_mac": ("src_mac", mac), "out_dst_mac": ("dst_mac", mac), "ethernetType": ("ether_type", same),
    "ingressVRFID": ("ingress_vrf_id", same), "egressVRFID": ("egress_vrf_id", same), "app_id": ("application", same),
    "sourceIPv4Address": ("src_addr", address), "destinationIPv4Address": ("dst_addr", address),
    "sourceIPv6Address": ("src_addr", address), "destinationIPv6Address": ("dst_addr", address),
    "sourceTransportPort": ("src_port", same), "destinationTransportPort": ("dst_port", same),
    "protocolIdentifier": ("proto", same), "octetDeltaCount": ("bytes", same), "packetDeltaCount": ("packets", same),
    "octetTotalCount": ("bytes", same), "packetTotalCount": ("packets", same), "ingressInterface": ("in_if_index", same),
    "egressInterface": ("out_if_index", same), "tcpControlBits": ("tcp_flags", same), "ipClassOfService": ("tos", same),
    "bgpSourceAsNumber": ("src_as", same), "bgpDestinationAsNumber": ("dst_as", same), "vlanId": ("src_vlan", same),
    "flowDirection": ("flow_direction", DIRECTIONS.get), "firewallEvent": ("firewall_event", same),
    "flowEndReason": ("flow_end_reason", END_REASONS.get), "flowStartMilliseconds": ("flow_start", moment),
    "flowEndMilliseconds": ("flow_end", moment), "flowStartSeconds": ("flow_start", seconds),
    "flowEndSeconds": ("flow_end", seconds), "sourceMacAddress": ("src_mac", mac), "maximumTTL": ("ttl", same),
    "postNATSourceIPv4Address": ("post_nat_src_addr", address), "ipNextHopIPv4Address": ("next_hop", address),
    "postNATDestinationIPv4Address": ("post_nat_dst_addr", address), "ipNextHopIPv6Address": ("next_hop", address),
    "forwarding_status": ("forwarding_status", lambda parts: parts["status"] << 6 | parts["reason"]),
}
# Fluentd's plugin calls v9 fields as logstash's codec does.
FLUENTD = {**LOGSTASH, "sampling_interval": ("sampling_interval", same), "ingress_vrf_id": ("ingress_vrf_id", same),
           "egress_vrf_id": ("egress_vrf_id", same), "forwarding_status": ("forwarding_status", same)}
TELEGRAF = {
    "src": ("src_addr", address), "dst": ("dst_addr", address), "src_port": ("src_port", same), "dst_port": ("dst_port", same),
    "protocol": ("proto", PROTOCOLS.get), "in_bytes": ("bytes", same), "in_packets": ("packets", same),
    "src_tos": ("tos", lambda text: int(text, 16)), "in_snmp": ("in_if_index", same), "out_snmp": ("out_if_index", same),
    "bgp_src_as": ("src_as", same), "bgp_dst_as": ("dst_as", same), "next_hop": ("next_hop", address),
    "tcp_flags": ("tcp_flags", lambda text: sum(128 >> at for at, flag in enumerate(text) if flag != ".")),
}
PMACCT_KEY = {
    "ip_src": ("src_addr", address), "ip_dst": ("dst_addr", address), "port_src": ("src_port", same),
    "port_dst": ("dst_port", same), "ip_proto": ("proto", lambda name: PROTOCOLS.get(name) or int(name)),
    "tos": ("tos", same), "iface_in": ("in_if_index", same), "iface_out": ("out_if_index", same),
    "fwd_status": ("forwarding_status", FORWARDING.get), "mask_src": ("src_mask", same), "mask_dst": ("dst_mask", same),
    "mpls_label_stack": ("mpls_labels", lambda labels: tuple(int(label.split("-")[1]) for label in labels)),
}
PMACCT_PAIRS = [{"pm-111a-v9-cisco", "pm-111b-ipfix-cisco-v6"}, {"pm-400a-ipfix-srv6", "pm-400b-ipfix-srv6"}]


def of_row(row, column):
    """A row's value in the form that the conversions above give."""
    value = row.get(column)
    if column.endswith(("_addr", "_hop")):
        return address(value or "::")
    if column in ("flow_start", "flow_end"):
        return moment(value)
    if column == "mpls_labels":
        return tuple(value or ())
    if value is None:
        return "00:00:00:00:00:00" if column.endswith("_mac") else "" if column == "application" else 0
    return value


def unused(value):
    """An address of the family that the record does not use, or a name where the row has none."""
    return isinstance(value, (ipaddress.IPv4Address, ipaddress.IPv6Address)) and int(value) == 0


def wanted(record, fields):
    """{column: value} of a publisher's record; deltas before totals, the family that is used."""
    values = {}
    for name, raw in record.items():
        if name not in fields or raw is None or isinstance(raw, dict) and "go" in raw:
            continue
        column, convert = fields[name]
        value = convert(raw)
        value = tuple(value) if isinstance(value, list) else value
        if column in values and (unused(value) or name.endswith("TotalCount") or name.startswith("out_")):
            continue
        values[column] = value
    return values


def differences(values, row):
    found = {}
    for column, value in values.items():
        got = of_row(row, column)
        if isinstance(value, Switched):
            wrong = value.at - got not in (0, *Switched.OFF)
        else:
            wrong = got != value and not (unused(got) and unused(value))
        if wrong:
            found[column] = f"{column} is {got}, the publisher read {value}"
    return found


class Case:
    def __init__(self, name, folder, helios):
        self.name, self.folder, self.helios, self.faults, self.fields, self.used = name, folder, helios, [], 0, set()

    def decode(self, *arguments, capture=None):
        capture = capture or self.folder / "capture.pcap"
        out = subprocess.run([self.helios, "decode", *arguments, str(capture)], capture_output=True, text=True, timeout=60)
        if out.returncode:
            raise OSError(f"decode: exit {out.returncode}: {out.stderr.strip()[-200:]}")
        return [json.loads(line) for line in out.stdout.splitlines()]

    def known(self, column):
        if (self.name, column) in DIVERGENCES:
            self.used.add((self.name, column))
            return True
        return False

    def check(self, where, values, row):
        found = differences(values, row)
        self.fields += len(values)
        self.faults += [f"{where}: {text}" for column, text in found.items() if not self.known(column)]

    def check_somewhere(self, where, values, rows):
        """The record must be one of the rows; the nearest one tells what differs."""
        if not rows:
            self.faults.append(f"{where}: no row")
            return
        self.check(where, values, min(rows, key=lambda row: len(differences(values, row))))

    def akvorado(self, peer):
        rows = self.decode()
        if peer.get("compares") == "all flows" and len(rows) != len(peer["expected_flows"]):
            self.faults.append(f"{len(rows)} rows, the publisher read {len(peer['expected_flows'])}")
        # Each row is one flow's; the order is not compared, reverse directions come last here.
        for at, flow in enumerate(peer["expected_flows"]):
            values = wanted(flow, AKVORADO)
            self.check_somewhere(f"flow {at}", values, rows)
            if rows:
                rows.remove(min(rows, key=lambda row: len(differences(values, row))))

    def logstash(self, peer):
        rows = self.decode()
        for event in peer["events"]:
            record = event["event"].get("netflow", {})
            where, values = f"event {event['event_index']}", wanted(record, LOGSTASH)
            if {"src_addr", "dst_addr"} & values.keys():
                self.check_somewhere(where, values, rows)
            else:
                self.raw(where, record)

    def raw(self, where, record):
        """Options data makes no row: its fields are compared as the record has them."""
        v9 = {"application_id": "applicationId", "application_name": "applicationName", "if_desc": "interfaceDescription",
              "application_description": "applicationDescription", "total_bytes_exp": "exportedOctetTotalCount",
              "total_flows_exp": "exportedFlowRecordTotalCount", "total_pkts_exp": "exportedMessageTotalCount",
              "flow_active_timeout": "flowActiveTimeout", "flow_inactive_timeout": "flowIdleTimeout"}
        fields = {v9.get(name, name): value for name, value in record.items()}
        best, compared = None, 0
        for line in self.decode("--raw"):
            have = line.get("fields")
            if not isinstance(have, dict):
                continue
            shared = [name for name in fields if name in have and not isinstance(have[name], (dict, list))]
            wrong = [f"{name} is {have[name]}, the publisher read {fields[name]}" for name in shared
                     if not self.same_text(have[name], fields[name]) and not self.known(name)]
            if shared and (best is None or (len(wrong), -len(shared)) < (len(best), -compared)):
                best, compared = wrong, len(shared)
        self.fields += compared
        if best is None:
            self.faults.append(f"{where}: no options record with {sorted(fields)}")
        else:
            self.faults += [f"{where}: {text}" for text in best]

    @staticmethod
    def same_text(mine, theirs):
        """Times stand as text here and as milliseconds there, application ids as 1:13 and 1..13."""
        if isinstance(theirs, int) and re.match(r"\d+-\d+-\d+T", str(mine)):
            return moment(mine) == theirs
        plain = lambda value: str(value).rstrip("\0").lower().replace("..", ":")
        if isinstance(mine, str) and re.fullmatch(r"([0-9a-f]{2})+", mine) and not str(theirs).isdigit():
            octets = bytes.fromhex(mine)
            return str(theirs).lower() in (octets.hex(), octets.hex(":"), ".".join(map(str, octets)))
        return plain(mine) == plain(theirs)

    def fluentd(self, peer):
        facts = peer.get(self.name, {})
        rows = self.decode()
        records = facts.get("records", [])
        if isinstance(records, int):
            if len(rows) != records:
                self.faults.append(f"{len(rows)} rows, the publisher read {records}")
            records = [{name: value for name, value in facts.items() if name in FLUENTD}]
        for at, record in enumerate(records):
            self.check_somewhere(f"record {at}", wanted(record, FLUENTD), rows)

    def telegraf(self, text):
        rows = self.decode()
        for at, line in enumerate(text.splitlines()):
            pairs = re.findall(r'(\w+)=(?:"([^"]*)"|(\d+)u)', line)
            record = {name: quoted if number == "" else int(number) for name, quoted, number in pairs}
            self.check_somewhere(f"line {at}", wanted(record, TELEGRAF), rows)

    def pmacct(self, lines):
        """pmacct shows the inner packet of records that carry two headers, and one line for all flags of a flow."""
        mates = next((pair for pair in PMACCT_PAIRS if self.name in pair), {self.name})
        rows = [row for mate in sorted(mates) for row in self.decode("--decapsulate", "all", capture=self.folder.parent / mate / "capture.pcap")]
        fields = {name: spec for name, spec in PMACCT_KEY.items() if name in lines[0] and not self.known(spec[0])}
        columns = [spec[0] for spec in fields.values()]
        mine, theirs = collections.defaultdict(list), collections.defaultdict(list)
        for row in rows:
            mine[tuple(of_row(row, column) for column in columns)].append(row)
        for line in lines:
            theirs[tuple(convert(line[name]) for name, (_, convert) in fields.items())].append(line)
        total = lambda records, name: sum(record.get(name, 0) for record in records)
        for key in mine.keys() | theirs.keys():
            self.fields += len(columns) + 2
            sums = [(total(side.get(key, []), "packets"), total(side.get(key, []), "bytes")) for side in (mine, theirs)]
            if sums[0] != sums[1]:
                shown = ", ".join(f"{column} {value}" for column, value in zip(columns, key) if value)
                self.faults.append(f"{shown}: packets and bytes are {sums[0]}, the publisher read {sums[1]}")
            else:
                self.names(mine[key], theirs[key])

    def names(self, rows, lines):
        """What is no part of pmacct's key here: times to the second, names, MAC addresses."""
        flags = lambda values: functools.reduce(operator.or_, values, 0)
        mine = flags(row.get("tcp_flags", 0) for row in rows)
        theirs = flags(TCP[name] for line in lines for name in line["tcp_flags"])
        self.fields += 1
        if mine != theirs:
            self.faults.append(f"tcp_flags {mine}, the publisher read {theirs}")
        for line in lines:
            for name, column in (("timestamp_start", "flow_start"), ("timestamp_end", "flow_end")):
                if name in line and not self.known(column):
                    self.fields += 1
                    at = float(line[name]) * 1000
                    if not any(abs(of_row(row, column) - at) <= 1000 for row in rows):
                        self.faults.append(f"{column} {[row.get(column) for row in rows]}, the publisher read {line[name]}")
            for name, column in (("iface_name_in", "in_if_name"), ("iface_name_out", "out_if_name"), ("mac_src", "src_mac"),
                                 ("mac_dst", "dst_mac")):
                value = line.get(name) or None
                value = None if value == "00:00:00:00:00:00" else value
                if value and not self.known(column):
                    self.fields += 1
                    if not any(row.get(column) == value for row in rows):
                        self.faults.append(f"{column} {sorted({str(row.get(column)) for row in rows})}, "
                                           f"the publisher read {name} {value}")

            vrfs = {line.get(name) for name in ("vrf_name", "ingress_vrf_name", "egress_vrf_name")} - {None, ""}
            if vrfs and not self.known("vrf_name"):
                self.fields += 1
                if not any(row.get("vrf_name") in vrfs for row in rows):
                    shown = sorted({str(row.get("vrf_name")) for row in rows})
                    self.faults.append(f"vrf_name {shown}, the publisher read {sorted(vrfs)}")

    def run(self):
        """Whether there was a publisher's reading to compare with."""
        for file in sorted((self.folder / "peer").iterdir()):
            text = file.read_text()
            if self.name.startswith("pm-"):
                self.pmacct([json.loads(line) for line in text.splitlines() if line.strip()])
            elif self.name == "tg-v5":
                self.telegraf(text)
            elif file.suffix == ".json":
                peer = json.loads(text)
                if "expected_flows" in peer:
                    self.akvorado(peer)
                elif "events" in peer:
                    self.logstash(peer)
                else:
                    self.fluentd(peer)
        return self.fields > 0


def main():
    args = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    args.add_argument("--helios", required=True)
    args.add_argument("--case", action="append")
    args.add_argument("-v", action="store_true")
    args.add_argument("dir", type=pathlib.Path)
    opts = args.parse_args()
    folders = [folder for folder in sorted((opts.dir / "cases").iterdir()) if (folder / "peer").is_dir()
               and "sflow" not in folder.name and (not opts.case or folder.name in opts.case)]
    ran, fields, failed, used = 0, 0, 0, set()
    for folder in folders:
        case = Case(folder.name, folder, opts.helios)
        if not case.run() and not case.faults:
            continue
        ran, fields, failed = ran + 1, fields + case.fields, failed + bool(case.faults)
        used |= case.used
        for fault in case.faults:
            print(f"{case.name}: {fault}")
        if opts.v and not case.faults:
            print(f"{case.name}: ok, {case.fields} fields")
    stale = [] if opts.case else sorted(DIVERGENCES.keys() - used)
    for case, column in stale:
        print(f"{case}: {column} is listed as a divergence and is none")
    print(f"publishers' readings: {ran} cases ran, {fields} fields compared, {failed} cases differ, "
          f"{len(used)} known divergences")
    return 1 if failed or stale else 0


sys.exit(main())
