"""Numbers and the names that Zeek gives them (base/protocols/dns/consts.zeek; IANA)."""

OPCODES = {0: "query", 1: "iquery", 2: "status", 4: "notify", 5: "update", 6: "dso"}

RCODES = {
    0: "NOERROR",
    1: "FORMERR",
    2: "SERVFAIL",
    3: "NXDOMAIN",
    4: "NOTIMP",
    5: "REFUSED",
    6: "YXDOMAIN",
    7: "YXRRSET",
    8: "NXRRSET",
    9: "NOTAUTH",
    10: "NOTZONE",
    11: "unassigned-11",
    12: "unassigned-12",
    13: "unassigned-13",
    14: "unassigned-14",
    15: "unassigned-15",
}

QCLASSES = {1: "C_INTERNET", 2: "C_CSNET", 3: "C_CHAOS", 4: "C_HESIOD", 254: "C_NONE", 255: "C_ANY"}

_IN_ORDER = (
    "A NS MD MF CNAME SOA MB MG MR NULL WKS PTR HINFO MINFO MX TXT RP AFSDB X25 ISDN RT NSAP NSAP-PTR SIG KEY PX GPOS "
    "AAAA LOC NXT EID NIMLOC SRV ATMA NAPTR KX CERT A6 DNAME SINK OPT APL DS SSHFP IPSECKEY RRSIG NSEC DNSKEY DHCID "
    "NSEC3 NSEC3PARAM TLSA SMIMEA HIP NINFO RKEY TALINK CDS CDNSKEY OPENPGPKEY CSYNC ZONEMD SVCB HTTPS"
)

# The numbers of the first: 1 to 53 without a gap, then 55 to 65 (54 was never given).
QTYPES = dict(enumerate(_IN_ORDER.split()[:53], 1)) | dict(enumerate(_IN_ORDER.split()[53:], 55))
QTYPES |= {
    32: "NB",
    99: "SPF",
    104: "NID",
    105: "L32",
    106: "L64",
    107: "LP",
    108: "EUI48",
    109: "EUI64",
    249: "TKEY",
    250: "TSIG",
    251: "IXFR",
    252: "AXFR",
    253: "MAILB",
    254: "MAILA",
    255: "*",
    256: "URI",
    257: "CAA",
    258: "AVC",
    32768: "TA",
    32769: "DLV",
}

TLS_VERSIONS = {
    0x0002: "SSLv2",
    0x0300: "SSLv3",
    0x0301: "TLSv10",
    0x0302: "TLSv11",
    0x0303: "TLSv12",
    0x0304: "TLSv13",
    0xFEFF: "DTLSv10",
    0xFEFD: "DTLSv12",
}
