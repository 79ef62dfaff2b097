package sim

import "strings"

// column is a column of a report, by its name in the header.
type column uint8

// The columns that the simulation fills; others of a layout stay empty.
const (
	colOther column = iota
	colTimestamp
	colSeverity
	colProtocol
	colSrcIP
	colSrcPort
	colSrcASN
	colSrcGeo
	colSrcRegion
	colSrcCity
	colSrcHostname
	colSrcNAICS
	colSrcSector
	colDstIP
	colDstPort
	colDstASN
	colDstGeo
	colDstRegion
	colDstCity
	colDstHostname
	colDstNAICS
	colDstSector
	colDeviceVendor
	colDeviceType
	colDeviceModel
	colDeviceFirmware
	colPublicSource
	colInfection
	colFamily
	colTag
	colApplication
	colHTTPURL
	colHTTPHost
	colHTTPAgent
	colHTTPReferer
	colService
	colStartTime
	colEndTime
	colClientVersion
	colUsername
	colPassword
	colDstNetwork
	colDstNetmask
	colAttack
	colDuration
	colPacketLength
	colCount
	colBytes
	colPattern
	colRequestMethod
	colURLScheme
	colURL
	colHost
	colHostname
	colHostnameSource
	colIP
	colPort
	colASN
	colGeo
	colRegion
	colCity
	colNAICS
	colSIC
	colSector
	colSHA256
	colCategory
	colSystem
	colDetectedSince
	colServer
	colDetail
	colBanner
	colDNSVersion
	colMinAmplification
	colRDPProtocol
	colSubjectCommonName
	colCertExpiration
	colHTTP
	colHTTPCode
	colHTTPReason
	colContentType
	colVersion
	colBeaconType
	colBeaconHost
	colBeaconPort
	colLicenseID
	columns
)

var columnNames = [columns]string{
	"", "timestamp", "severity", "protocol",
	"src_ip", "src_port", "src_asn", "src_geo", "src_region", "src_city", "src_hostname", "src_naics", "src_sector",
	"dst_ip", "dst_port", "dst_asn", "dst_geo", "dst_region", "dst_city", "dst_hostname", "dst_naics", "dst_sector",
	"device_vendor", "device_type", "device_model", "device_firmware",
	"public_source", "infection", "family", "tag", "application",
	"http_url", "http_host", "http_agent", "http_referer",
	"service", "start_time", "end_time", "client_version", "username", "password",
	"dst_network", "dst_netmask", "attack", "duration", "packet_length", "count", "bytes",
	"pattern", "http_request_method", "url_scheme",
	"url", "host", "hostname", "hostname_source", "ip", "port", "asn", "geo", "region", "city", "naics", "sic", "sector",
	"sha256", "category", "system", "detected_since", "server", "detail",
	"banner", "dns_version", "min_amplification", "rdp_protocol", "subject_common_name", "cert_expiration_date",
	"http", "http_code", "http_reason", "content_type", "version",
	"beacon_type", "beacon_host", "beacon_port", "license_id",
}

// The pieces that layouts share. The names are those of the reports' headers
// as The Shadowserver Foundation publishes them.
const (
	srcEnd  = "src_ip src_port src_asn src_geo src_region src_city src_hostname src_naics src_sector "
	dstEnd  = "dst_ip dst_port dst_asn dst_geo dst_region dst_city dst_hostname dst_naics dst_sector "
	device  = "device_vendor device_type device_model "
	named   = "public_source infection family tag application version event_id "
	head    = "timestamp protocol "
	httpEnd = "http_url http_host http_agent forwarded_by ssl_cipher http_referer "
	scan1   = "timestamp ip protocol port hostname tag "
	scan2   = "timestamp severity ip protocol port hostname tag asn geo region city naics hostname_source sector "
	where   = "asn geo region city naics sic "
	cert    = "handshake rdp_protocol cert_length subject_common_name issuer_common_name cert_issue_date cert_expiration_date " +
		"sha1_fingerprint cert_serial_number ssl_version signature_algorithm key_algorithm sha256_fingerprint sha512_fingerprint md5_fingerprint"
	webServer = "http http_code http_reason content_type connection www_authenticate set_cookie server content_length transfer_encoding http_date version build_date detail"
	vuln      = "vulnerability_enum vulnerability_id vulnerability_class vulnerability_score vulnerability_severity vulnerability_version "
	brute     = "service start_time end_time client_version username password payload_url payload_md5"
	target    = "domain_source " + named + "dst_network dst_netmask attack duration attack_src_ip attack_src_port domain domain_transaction_id gcip " +
		"http_method http_path http_postdata http_usessl ip_header_ack ip_header_acknum ip_header_dont_fragment ip_header_fin ip_header_identity " +
		"ip_header_psh ip_header_rst ip_header_seqnum ip_header_syn ip_header_tos ip_header_ttl ip_header_urg number_of_connections packet_length packet_randomized"
	amp     = "request count bytes end_time duration avg_pps max_pps"
	webScan = "pattern http_url http_agent http_request_method url_scheme session_tags " + vuln +
		"threat_framework threat_tactic_id threat_technique_id target_vendor target_product target_class file_md5 file_sha256 request_raw body_raw"
	compromised = "application url http_host category system detected_since server redirect_target cc_url family status account detail public_source"
	beacon      = "http http_url http_code content_type content_length architecture beacon_type beacon_host beacon_port beacon_http_get beacon_http_post license_id " +
		"config_md5 config_sha1 config_sha256 config_sha512 binary_md5 binary_sha1 binary_sha256 binary_sha512 encoded_length encoded_data"
)

// report is one row of the table of report files: who sends it and in which
// layout, before and after the day on which the vendor changes it.
type report struct {
	feed          int
	name          string // report type; "" for idf
	severity      string
	before, after string // headers, columns separated by spaces
	subject       column // the address that the report is about; colOther if something else can stand for it
	fill          func(*maker, *sheet, *row)
}

// The rows of reports.
const (
	repSinkhole = iota
	repSinkholeHTTP
	repSinkholeHTTP6
	repBrute
	repTarget
	repAmp
	repWebScan
	repMalwareURL
	repCompromised
	repRDP
	repTelnet
	repDNS
	repWebVulnerable
	repBeacon
	repNorth
	repIDF
	repHub
	repBorder
	reportCount
)

var reports = [reportCount]report{
	repSinkhole: {
		feedShadowserver, "event4_sinkhole", "critical",
		head + srcEnd + device + dstEnd + named,
		head + srcEnd + device + "severity " + dstEnd + named + "ssl_cipher ssl_servername", colSrcIP, (*maker).fillSinkhole,
	},
	repSinkholeHTTP: { // moves columns about and adds one that nobody has heard of
		feedShadowserver, "event4_sinkhole_http", "critical",
		head + srcEnd + device + dstEnd + named + httpEnd,
		"timestamp severity protocol " + dstEnd + srcEnd + device + "device_firmware " + httpEnd + named + "ssl_servername machine_name", colSrcIP, (*maker).fillSinkhole,
	},
	repSinkholeHTTP6: {
		feedShadowserver, "event6_sinkhole_http", "critical",
		head + srcEnd + device + dstEnd + named + httpEnd,
		head + srcEnd + device + "severity " + dstEnd + named + httpEnd + "ssl_servername machine_name", colSrcIP, (*maker).fillSinkhole,
	},
	repBrute: {
		feedShadowserver, "event4_honeypot_brute_force", "critical",
		head + srcEnd + device + dstEnd + named + brute,
		head + srcEnd + device + "severity " + dstEnd + named + brute + " " + vuln + "target_vendor target_product target_class", colSrcIP, (*maker).fillBrute,
	},
	repTarget: {
		feedShadowserver, "event4_honeypot_ddos_target", "info",
		head + dstEnd + device + srcEnd + target,
		head + dstEnd + device + "severity " + srcEnd + target, colOther, (*maker).fillTarget,
	},
	repAmp: {
		feedShadowserver, "event4_honeypot_ddos_amp", "info",
		head + srcEnd + device + dstEnd + named + amp,
		head + srcEnd + device + "severity " + dstEnd + named + amp, colSrcIP, (*maker).fillAmp,
	},
	repWebScan: {
		feedShadowserver, "event4_honeypot_http_scan", "high",
		head + srcEnd + device + dstEnd + named + webScan,
		head + srcEnd + device + "severity " + dstEnd + named + webScan, colSrcIP, (*maker).fillWebScan,
	},
	repMalwareURL: {
		feedShadowserver, "malware_url", "critical",
		"timestamp url host ip asn geo region city naics sector tag source sha256 application",
		"timestamp url hostname ip asn geo region city naics sector severity port tag source sha256 application", colOther, (*maker).fillMalwareURL,
	},
	repCompromised: {
		feedShadowserver, "compromised_website", "critical",
		scan1 + "asn geo region city naics sector " + compromised,
		scan2 + compromised, colOther, (*maker).fillCompromised,
	},
	repRDP: {
		feedShadowserver, "scan_rdp", "high",
		scan1 + where + cert, scan2 + cert + " tlsv13_support tlsv13_cipher jarm", colIP, (*maker).fillScan,
	},
	repTelnet: {
		feedShadowserver, "scan_telnet", "medium",
		scan1 + where + "banner", scan2 + "banner", colIP, (*maker).fillScan,
	},
	repDNS: {
		feedShadowserver, "scan_dns", "medium",
		scan1 + "dns_version asn geo region city min_amplification p0f_genre p0f_detail naics sic sector", scan2 + "dns_version min_amplification", colIP, (*maker).fillScan,
	},
	repWebVulnerable: {
		feedShadowserver, "scan_http_vulnerable", "critical",
		scan1 + where + webServer, scan2 + webServer + " build_branch", colIP, (*maker).fillScan,
	},
	repBeacon: {
		feedShadowserver, "scan_post_exploitation_framework", "high",
		scan1 + "asn geo region city naics sector " + beacon, scan2 + beacon, colIP, (*maker).fillBeacon,
	},
	repNorth: {
		feedNorth, "event4_sinkhole_http", "critical",
		head + srcEnd + device + dstEnd + named + httpEnd,
		head + srcEnd + device + dstEnd + named + httpEnd, colSrcIP, (*maker).fillSinkhole,
	},
	repIDF:    {feed: feedPartner},
	repHub:    {feed: feedHub},
	repBorder: {feed: feedBorder},
}

// layout is a header and the columns in its order.
type layout struct {
	header  []byte // without line end
	columns []column
}

func newLayout(names string) layout {
	var l layout
	byName := map[string]column{}
	for c := colTimestamp; c < columns; c++ {
		byName[columnNames[c]] = c
	}
	for i, n := range strings.Fields(names) {
		if i > 0 {
			l.header = append(l.header, ',')
		}
		l.header = append(l.header, '"')
		l.header = append(l.header, n...)
		l.header = append(l.header, '"')
		l.columns = append(l.columns, byName[n])
	}
	return l
}

// sheet holds the cells of one row, as they are written: strings quoted,
// numbers bare, as the feeds do.
type sheet struct {
	text []byte
	at   [columns]span
}

type span struct{ from, to int32 }

func (s *sheet) reset() {
	s.text = s.text[:0]
	s.at = [columns]span{}
}

func (s *sheet) begin(c column) { s.at[c].from = s.here() }
func (s *sheet) end(c column)   { s.at[c].to = s.here() }
func (s *sheet) here() int32    { return int32(len(s.text)) } //nolint:gosec // a row is some hundred bytes

// str sets a cell of text; empty text is an empty cell.
func (s *sheet) str(c column, v string) {
	s.begin(c)
	if v != "" {
		s.text = append(s.text, '"')
		for {
			i := strings.IndexByte(v, '"')
			if i < 0 {
				break
			}
			s.text = append(s.text, v[:i+1]...)
			s.text = append(s.text, '"')
			v = v[i+1:]
		}
		s.text = append(s.text, v...)
		s.text = append(s.text, '"')
	}
	s.end(c)
}

// num sets a cell of digits, which feeds do not quote; 0 is an empty cell.
func (s *sheet) num(c column, v int) {
	s.begin(c)
	if v != 0 {
		s.text = appendInt(s.text, v)
	}
	s.end(c)
}

// addr sets a cell to an address; the zero address is an empty cell.
func (s *sheet) addr(c column, a address) {
	s.begin(c)
	if a != (address{}) {
		s.text = append(s.text, '"')
		s.text = a.append(s.text)
		s.text = append(s.text, '"')
	}
	s.end(c)
}

// write appends the cells in the order of the layout, the first n of them.
func (s *sheet) write(b []byte, l *layout, n int) []byte {
	for i, c := range l.columns[:n] {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, s.text[s.at[c].from:s.at[c].to]...)
	}
	return b
}

// appendInt appends v in decimal; v is not negative.
func appendInt(b []byte, v int) []byte {
	var x [20]byte
	i := len(x)
	for {
		i--
		x[i] = byte('0' + v%10)
		v /= 10
		if v == 0 {
			return append(b, x[i:]...)
		}
	}
}

// appendClock appends HH:MM:SS of a second of the day.
func appendClock(b []byte, s int) []byte {
	h, m, s := s/3600, s/60%60, s%60
	return append(b, byte('0'+h/10), byte('0'+h%10), ':', byte('0'+m/10), byte('0'+m%10), ':', byte('0'+s/10), byte('0'+s%10)) //nolint:gosec // digits
}
