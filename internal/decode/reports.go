package decode

import "tocsin/internal/event"

// profile is what report types of one kind have in common.
type profile struct {
	side     event.Side
	role     event.Role
	peer     event.Role
	kind     []event.SubjectKind // by what the subject is known: the first that the row has
	asset    event.AssetKind
	see      string // identity columns, as in report.see
	snapshot bool   // a list as it stands: the id includes the day instead of the time
}

// report is one row of the table of Shadowserver report types.
type report struct {
	names      string // report types that differ in nothing but the address family
	profile    *profile
	class      string // classification.type
	identifier string // classification.identifier; "=column" takes the cell of that column
	service    string // protocol.application, and protocol.transport after a slash
	severity   event.Severity
	see        string // identity columns beyond the profile's; "@name" is a group
	columns    string // "column=field" where the type differs from the shared table; "column=" keeps it in extra
}

// The severities that Shadowserver gives its reports by default.
const (
	undefined = event.SeverityUndefined
	info      = event.SeverityInfo
	low       = event.SeverityLow
	medium    = event.SeverityMedium
	high      = event.SeverityHigh
	critical  = event.SeverityCritical
)

var (
	byAddress = []event.SubjectKind{event.SubjectAddress}
	bySite    = []event.SubjectKind{event.SubjectURL, event.SubjectName, event.SubjectAddress}

	seeScan  = "timestamp ip protocol port tag"
	seeEvent = "timestamp protocol src_ip src_port dst_ip dst_port public_source infection family tag application version event_id"
)

// The profiles. A sinkhole, a honeypot and a scanner say different things of
// the same columns: who is concerned, and what they did or suffered.
var (
	exposed     = &profile{role: event.RoleExposed, kind: byAddress, asset: event.AssetService, see: seeScan}
	device      = &profile{role: event.RoleExposed, kind: byAddress, asset: event.AssetAddress, see: seeScan}
	compromised = &profile{role: event.RoleVictim, kind: byAddress, asset: event.AssetAddress, see: seeScan}
	beacon      = &profile{role: event.RoleController, kind: byAddress, asset: event.AssetAddress, see: seeScan}
	website     = &profile{role: event.RoleVictim, kind: bySite, asset: event.AssetSite, see: seeScan}
	advertised  = &profile{kind: bySite, asset: event.AssetSite, see: seeScan}
	contacted   = &profile{kind: byAddress, asset: event.AssetAddress, see: seeScan}
	queried     = &profile{kind: []event.SubjectKind{event.SubjectName}, asset: event.AssetSite, see: seeScan}

	infected  = &profile{role: event.RoleVictim, peer: event.RoleSinkhole, kind: byAddress, asset: event.AssetAddress, see: seeEvent}
	referer   = infected
	resolver  = &profile{peer: event.RoleSinkhole, kind: byAddress, asset: event.AssetAddress, see: seeEvent}
	attacker  = &profile{role: event.RoleOffender, peer: event.RoleTarget, kind: byAddress, asset: event.AssetAddress, see: seeEvent}
	spoofer   = &profile{role: event.RoleExposed, kind: []event.SubjectKind{event.SubjectAddress, event.SubjectNetwork}, asset: event.AssetAddress, see: seeEvent}
	commander = &profile{role: event.RoleController, peer: event.RoleTarget, kind: byAddress, asset: event.AssetAddress, see: seeEvent}
	amplified = &profile{role: event.RoleVictim, peer: event.RoleReflector, kind: byAddress, asset: event.AssetAddress, see: seeEvent}
	attacked  = &profile{side: event.SideDestination, role: event.RoleVictim, peer: event.RoleC2, kind: byAddress, asset: event.AssetAddress, see: seeEvent}

	listed       = &profile{kind: []event.SubjectKind{event.SubjectAddress, event.SubjectNetwork}, asset: event.AssetAddress, see: "ip tag", snapshot: true}
	account      = &profile{role: event.RoleVictim, kind: []event.SubjectKind{event.SubjectAccount}, asset: event.AssetAccount, see: "timestamp tag"}
	organisation = &profile{role: event.RoleVictim, kind: []event.SubjectKind{event.SubjectOrganisation}, asset: event.AssetOrganisation, see: "timestamp"}
)

// alternative is another reading of rows of a report type whose column holds
// the word.
type alternative struct {
	report     string // first of its names
	column     string
	word       string
	profile    *profile
	class      string
	identifier string
}

var alternatives = []alternative{
	{"scan_exchange", "tag", "webshell", compromised, "system-compromise", "exchange-server-webshell"},
}

// groups are columns that occur together.
var groups = map[string]string{
	"bgp": "message_length message_type message_type_int bgp_version sender_asn hold_time bgp_identifier message2_type " +
		"message2_type_int major_error_code major_error_code_int minor_error_code minor_error_code_int",
	"ddos": "domain_source dst_network dst_netmask attack duration attack_src_ip attack_src_port domain domain_transaction_id gcip " +
		"http_method http_path http_postdata http_usessl ip_header_ack ip_header_acknum ip_header_dont_fragment ip_header_fin " +
		"ip_header_identity ip_header_psh ip_header_rst ip_header_seqnum ip_header_syn ip_header_tos ip_header_ttl ip_header_urg " +
		"number_of_connections packet_length packet_randomized",
	"http": "http http_code http_reason content_type connection www_authenticate set_cookie server content_length transfer_encoding " +
		"http_date",
	"ike": "initiator_spi responder_spi next_payload exchange_type flags message_id next_payload2 domain_of_interpretation " +
		"protocol_id spi_size notify_message_type",
	"size": "response_size amplification",
	"tls": "cipher_suite cert_length subject_common_name issuer_common_name cert_issue_date cert_expiration_date sha1_fingerprint " +
		"sha256_fingerprint sha512_fingerprint md5_fingerprint cert_serial_number ssl_version signature_algorithm key_algorithm " +
		"subject_organization_name subject_organization_unit_name subject_country subject_state_or_province_name " +
		"subject_locality_name subject_street_address subject_postal_code subject_surname subject_given_name " +
		"subject_email_address subject_business_category subject_serial_number issuer_organization_name " +
		"issuer_organization_unit_name issuer_country issuer_state_or_province_name issuer_locality_name issuer_street_address " +
		"issuer_postal_code issuer_surname issuer_given_name issuer_email_address issuer_business_category issuer_serial_number " +
		"issuer_serialnumber handshake ssl_servername tlsv13_support tlsv13_cipher jarm raw_cert raw_cert_chain cert_valid " +
		"self_signed cert_expired validation_level",
	"vuln": "vulnerability_enum vulnerability_id vulnerability_class vulnerability_score vulnerability_severity vulnerability_version " +
		"threat_framework threat_tactic_id threat_technique_id target_vendor target_product target_class",
}

// reports is the table of report types. Names and columns are those of
// https://github.com/The-Shadowserver-Foundation/report_schema as of 2026-03-24;
// classifications are those of RSIT.
//
// The identity columns (profile, see) are the cells that say what was seen,
// when and of whom; what the vendor looks up afterwards is none: AS, geography,
// industry, reverse name, device, severity. Columns may be added at the end of
// see, where only rows that fill them get another id; none is ever removed.
var reports = []report{
	{"blocklist", listed, "blacklist", "blacklisted-ip", "", low, "source reason", "ip=source.network"},
	{"compromised_account", account, "data-leak", "compromised-account", "", critical, "email infection source_url public_source status service username detail", "username=source.account"},
	{"compromised_iot compromised_iot6", compromised, "system-compromise", "compromised-iot", "", critical, "source_type category family status detail public_source account server_host_key malpubkey_sha256", "account=source.account"},
	{"compromised_website compromised_website6", website, "system-compromise", "compromised-website", "", critical, "application url http_host category system detected_since server redirect_target cc_url family status account detail public_source", "url=source.url http_host=source.fqdn account=source.account"},
	{"device_id device_id6", device, "undetermined", "device-id", "", info, "", ""},
	{"event4_ddos_participant", attacker, "ddos", "ddos-participant", "", high, "@ddos http_agent", ""},
	{"event4_honeypot_adb_scan", attacker, "scanner", "honeypot-adb-scan", "adb", high, "@vuln banner commands maxdata system_type opened", ""},
	{"event4_honeypot_brute_force", attacker, "brute-force", "=application", "", critical, "@vuln service start_time end_time client_version username password payload_url payload_md5", "username=destination.account"},
	{"event4_honeypot_darknet", attacker, "other", "=tag", "", high, "count", ""},
	{"event4_honeypot_ddos", commander, "ddos", "honeypot-ddos", "", critical, "@ddos http_agent", "application="},
	{"event4_honeypot_ddos_amp", amplified, "ddos", "amplification-ddos-victim", "", info, "request count bytes end_time duration avg_pps max_pps", ""},
	{"event4_honeypot_ddos_target", attacked, "ddos", "honeypot-ddos-target", "", info, "@ddos", "application="},
	{"event4_honeypot_http_scan", attacker, "scanner", "honeypot-http-scan", "http", high, "@vuln pattern http_url http_agent http_request_method url_scheme session_tags file_md5 file_sha256 request_raw body_raw", ""},
	{"event4_honeypot_ics_scan", attacker, "scanner", "honeypot-ics-scan", "", critical, "state sensor_id slave_id function_code request response", ""},
	{"event4_honeypot_ikev2_scan", attacker, "scanner", "honeypot-ikev2-scan", "ikev2", high, "@vuln", ""},
	{"event4_honeypot_rdp_scan", attacker, "scanner", "honeypot-rdp-scan", "rdp", high, "@vuln cookie session_tags", ""},
	{"event4_honeypot_rocketmq_scan", attacker, "scanner", "honeypot-rocketmq-scan", "rocketmq", high, "@vuln code flag language opaque serialize_type body body_base64", ""},
	{"event4_honeypot_smb_scan", attacker, "scanner", "honeypot-smb-scan", "smb", high, "@vuln command flags supported_protocols session_tags", ""},
	{"event4_ip_spoofer", spoofer, "masquerade", "ip-spoofer", "", medium, "network routedspoof session nat", "network=source.network"},
	{"event4_microsoft_sinkhole", infected, "infected-system", "=infection", "", critical, "ssl_cipher ssl_servername", ""},
	{"event4_microsoft_sinkhole_http", infected, "infected-system", "=infection", "http", critical, "http_url http_host http_agent forwarded_by ssl_cipher http_referer ssl_servername machine_name", ""},
	{"event4_sinkhole event6_sinkhole", infected, "infected-system", "=infection", "", critical, "ssl_cipher ssl_servername", ""},
	{"event4_sinkhole_dns", resolver, "other", "sinkholedns", "dns", info, "query_type query count", ""},
	{"event4_sinkhole_http event6_sinkhole_http", infected, "infected-system", "=infection", "http", critical, "http_url http_host http_agent forwarded_by ssl_cipher http_referer ssl_servername machine_name", ""},
	{"event4_sinkhole_http_referer event6_sinkhole_http_referer", referer, "infected-system", "=infection", "http", critical, "http_referer_ip http_referer_port http_url http_host http_referer ssl_servername", "http_referer_ip=source.ip"},
	{"malware_url", website, "malware-distribution", "malware-url", "", critical, "url source sha256 application host", "url=source.url host=source.fqdn hostname=source.fqdn"},
	{"population_bgp population6_bgp", exposed, "vulnerable-system", "accessible-bgp", "bgp", medium, "@bgp", ""},
	{"population_http_proxy population6_http_proxy", exposed, "other", "accessible-http-proxy", "http", low, "@http proxy_authenticate via", ""},
	{"population_isakmp population6_isakmp", exposed, "other", "accessible-ike", "ipsec", info, "@size @ike", ""},
	{"population_msmq population6_msmq", exposed, "vulnerable-system", "accessible-msmq", "msmq", medium, "response_size", ""},
	{"population_ntrip", exposed, "other", "accessible-ntrip", "ntrip", info, "ntrip ntrip_code ntrip_reason content_type connection server content_length ntrip_version ntrip_date ntrip_type mount_point identifier format format_details carrier nav_system network ntrip_country ntrip_latitude ntrip_longitude nmea solution generator compression authentication fee bit_rate misc header_base64 body_base64", ""},
	{"ransomware_victim", organisation, "system-compromise", "ransomware-victim", "", info, "entity_name website date_published ransomware leak_site_url actor_geo_stats_30d actor_total_stats_30d", "website=source.fqdn"},
	{"sandbox_conn", contacted, "malware-distribution", "sandbox-conn", "", low, "md5 bytes_in bytes_out sha1 sha256 host", "hostname=source.fqdn"},
	{"sandbox_dns", queried, "other", "sandbox-dns", "dns", low, "md5 request request_type response family source sha1 sha256", "request=source.fqdn"},
	{"sandbox_url", contacted, "malware-distribution", "sandbox-url", "", low, "md5 url user_agent method sha1 sha256 host", "url=destination.url hostname=source.fqdn"},
	{"scan_activemq scan6_activemq", exposed, "vulnerable-system", "open-activemq", "activemq", medium, "command vendor version", ""},
	{"scan_badsecrets scan6_badsecrets", exposed, "weak-crypto", "badsecret", "http", high, "badsecret_location badsecret_module badsecret_type badsecret_product http http_code server request_path cert_serial_number subject_common_name issuer_common_name subject_organization_name issuer_organization_name sha1_fingerprint sha256_fingerprint badsecret_secret", ""},
	{"scan_bgp scan6_bgp", exposed, "vulnerable-system", "open-bgp", "bgp", high, "@bgp", ""},
	{"scan_cwmp scan6_cwmp", exposed, "vulnerable-system", "open-cwmp", "cwmp", medium, "@http", ""},
	{"scan_dns scan6_dns", exposed, "vulnerable-system", "dns-open-resolver", "dns", medium, "dns_version min_amplification p0f_genre p0f_detail", ""},
	{"scan_elasticsearch scan6_elasticsearch", exposed, "vulnerable-system", "open-elasticsearch", "elasticsearch", high, "version ok name cluster_name http_code build_hash build_timestamp build_snapshot lucene_version tagline", ""},
	{"scan_exchange scan6_exchange", exposed, "vulnerable-system", "vulnerable-exchange-server", "exchange/tcp", critical, "version servername url", "url=destination.url"},
	{"scan_ftp scan6_ftp", exposed, "vulnerable-system", "accessible-ftp", "ftp", info, "@tls banner auth_tls_response auth_ssl_response", ""},
	{"scan_http scan6_http", exposed, "other", "accessible-http", "http", info, "@http version", ""},
	{"scan_http_proxy scan6_http_proxy", exposed, "vulnerable-system", "open-http-proxy", "http", medium, "@http proxy_authenticate via", ""},
	{"scan_http_vulnerable scan6_http_vulnerable", exposed, "vulnerable-system", "vulnerable-http", "http", critical, "@http version build_date detail build_branch", ""},
	{"scan_imap scan6_imap", exposed, "other", "accessible-imap", "imap", low, "@tls banner sslv3_supported", ""},
	{"scan_imap_vulnerable scan6_imap_vulnerable", exposed, "vulnerable-system", "vulnerable-imap", "imap", medium, "@tls banner sslv3_supported", ""},
	{"scan_ip_tunnel scan6_ip_tunnel", exposed, "vulnerable-system", "open-ip-tunnel", "", medium, "response", ""},
	{"scan_ipp scan6_ipp", exposed, "vulnerable-system", "open-ipp", "ipp", high, "ipp_version cups_version printer_uris printer_name printer_info printer_more_info printer_make_and_model printer_firmware_name printer_firmware_string_version printer_firmware_version printer_organization printer_organization_unit printer_uuid printer_wifi_ssid", ""},
	{"scan_isakmp scan6_isakmp", exposed, "vulnerable-system", "open-ike", "ipsec", medium, "@size @ike", ""},
	{"scan_ldap_tcp scan6_ldap_tcp", exposed, "vulnerable-system", "open-ldap", "ldap", high, "@tls @size configuration_naming_context current_time default_naming_context dns_host_name domain_controller_functionality domain_functionality ds_service_name forest_functionality highest_committed_usn is_global_catalog_ready is_synchronized ldap_service_name naming_contexts root_domain_naming_context schema_naming_context server_name subschema_subentry supported_capabilities supported_control supported_ldap_policies supported_ldap_version supported_sasl_mechanisms auth_tls_response auth_ssl_response size", ""},
	{"scan_mongodb scan6_mongodb", exposed, "vulnerable-system", "open-mongodb", "mongodb", high, "version gitversion sysinfo opensslversion allocator javascriptengine bits maxbsonobjectsize ok visible_databases", ""},
	{"scan_mqtt scan6_mqtt", exposed, "vulnerable-system", "open-mqtt", "mqtt", medium, "@tls anonymous_access raw_response hex_code code", ""},
	{"scan_mqtt_anon scan6_mqtt_anon", exposed, "vulnerable-system", "open-mqtt-anon", "mqtt", high, "@tls raw_response hex_code code", ""},
	{"scan_msrpc scan6_msrpc", exposed, "potentially-unwanted-accessible", "accessible-msrpc", "", high, "version packet_type packet_type_value packet_flags data_representation fragment_length auth_length call_id max_transmit max_receive association_group raw_response", ""},
	{"scan_mysql scan6_mysql", exposed, "vulnerable-system", "open-mysql", "mysql", high, "@tls version mysql_protocol_version server_version error_code error_id error_message client_can_handle_expired_passwords client_compress client_connect_attrs client_connect_with_db client_deprecated_eof client_found_rows client_ignore_sigpipe client_ignore_space client_interactive client_local_files client_long_flag client_long_password client_multi_results client_multi_statements client_no_schema client_odbc client_plugin_auth client_plugin_auth_len_enc_client_data client_protocol_41 client_ps_multi_results client_reserved client_secure_connection client_session_track client_ssl client_transactions browser_trusted browser_error", ""},
	{"scan_ntp scan6_ntp", exposed, "vulnerable-system", "ntp-version", "ntp", medium, "@size version clk_wander clock error frequency jitter leap mintc noise offset peer phase poll precision processor refid reftime rootdelay rootdispersion stability state stratum system tai tc", ""},
	{"scan_ntpmonitor scan6_ntpmonitor", exposed, "vulnerable-system", "ntp-monitor", "ntp", medium, "@size packets", ""},
	{"scan_pop3 scan6_pop3", exposed, "other", "accessible-pop3", "pop3", low, "@tls banner sslv3_supported", ""},
	{"scan_pop3_vulnerable scan6_pop3_vulnerable", exposed, "vulnerable-system", "vulnerable-pop3", "pop3", medium, "@tls banner sslv3_supported", ""},
	{"scan_postgres scan6_postgres", exposed, "vulnerable-system", "open-postgres", "postgres", high, "@tls version supported_protocols protocol_error_code protocol_error_file protocol_error_line protocol_error_message protocol_error_routine protocol_error_severity protocol_error_severity_v startup_error_code startup_error_file startup_error_line startup_error_message startup_error_routine startup_error_severity startup_error_severity_v client_ssl browser_trusted browser_error", ""},
	{"scan_rdp scan6_rdp", exposed, "vulnerable-system", "open-rdp", "rdp/tcp", high, "handshake rdp_protocol cert_length subject_common_name issuer_common_name cert_issue_date cert_expiration_date sha1_fingerprint cert_serial_number ssl_version signature_algorithm key_algorithm sha256_fingerprint sha512_fingerprint md5_fingerprint tlsv13_support tlsv13_cipher jarm", ""},
	{"scan_rsync scan6_rsync", exposed, "vulnerable-system", "accessible-rsync", "rsync", medium, "module motd has_password", ""},
	{"scan_slp scan6_slp", exposed, "vulnerable-system", "open-slp", "slp", high, "version function function_text flags next_extension_offset xid language_tag_length language_tag error_code error_code_text response_size raw_response", ""},
	{"scan_smb scan6_smb", exposed, "vulnerable-system", "open-smb", "smb/tcp", high, "arch key smb_major_number smb_minor_number smb_revision smb_version_string", ""},
	{"scan_smtp scan6_smtp", exposed, "other", "open-smtp", "smtp", info, "@tls banner auth_ssl_response auth_tls_response freak_cipher_suite freak_vulnerable sslv3_supported", ""},
	{"scan_smtp_vulnerable scan6_smtp_vulnerable", exposed, "vulnerable-system", "vulnerable-smtp", "smtp", critical, "@tls banner auth_ssl_response auth_tls_response freak_cipher_suite freak_vulnerable sslv3_supported", ""},
	{"scan_snmp scan6_snmp", exposed, "vulnerable-system", "open-snmp", "snmp", high, "@size version sysname sysdesc community uptime mac_address vendor_id vendor", ""},
	{"scan_ssh scan6_ssh", exposed, "other", "open-ssh", "", info, "serverid_raw serverid_version serverid_software serverid_comment server_cookie available_kex available_ciphers available_mac available_compression selected_kex algorithm selected_cipher selected_mac selected_compression server_signature_value server_signature_raw server_host_key server_host_key_sha256 rsa_prime rsa_prime_length rsa_generator rsa_generator_length rsa_public_key rsa_public_key_length rsa_exponent rsa_modulus rsa_length dss_prime dss_prime_length dss_generator dss_generator_length dss_public_key dss_public_key_length dss_dsa_public_g dss_dsa_public_p dss_dsa_public_q dss_dsa_public_y ecdsa_curve25519 ecdsa_curve ecdsa_public_key_length ecdsa_public_key_b ecdsa_public_key_gx ecdsa_public_key_gy ecdsa_public_key_n ecdsa_public_key_p ecdsa_public_key_x ecdsa_public_key_y ed25519_curve25519 ed25519_cert_public_key_nonce ed25519_cert_public_key_bytes ed25519_cert_public_key_raw ed25519_cert_public_key_sha256 ed25519_cert_public_key_serial ed25519_cert_public_key_type_id ed25519_cert_public_key_type_name ed25519_cert_public_key_keyid ed25519_cert_public_key_principles ed25519_cert_public_key_valid_after ed25519_cert_public_key_valid_before ed25519_cert_public_key_duration ed25519_cert_public_key_sigkey_bytes ed25519_cert_public_key_sigkey_raw ed25519_cert_public_key_sigkey_sha256 ed25519_cert_public_key_sigkey_value ed25519_cert_public_key_sig_raw banner userauth_methods hassh", ""},
	{"scan_ssl scan6_ssl", exposed, "other", "open-ssl", "https", info, "@tls @http ssl_poodle freak_vulnerable freak_cipher_suite http_response_type http_connection server_type browser_trusted browser_error", ""},
	{"scan_ssl_freak scan6_ssl_freak", exposed, "weak-crypto", "ssl-freak", "https", low, "@tls @http freak_vulnerable freak_cipher_suite http_response_type http_connection server_type browser_trusted browser_error page_sha256fp", ""},
	{"scan_ssl_poodle scan6_ssl_poodle", exposed, "weak-crypto", "ssl-poodle", "https", low, "@tls @http ssl_poodle http_response_type http_connection server_type browser_trusted browser_error page_sha256fp", ""},
	{"scan_stun scan6_stun", exposed, "other", "open-stun", "session traversal utilities for nat", medium, "@size transaction_id magic_cookie message_length message_type mapped_family mapped_address mapped_port xor_mapped_family xor_mapped_address xor_mapped_port software fingerprint", ""},
	{"scan_telnet scan6_telnet", exposed, "vulnerable-system", "open-telnet", "telnet", medium, "banner", ""},
	{"scan_vnc scan6_vnc", exposed, "vulnerable-system", "open-vnc", "vnc/tcp", high, "product banner", ""},
	{"scan_adb", exposed, "vulnerable-system", "accessible-adb", "adb", critical, "name model device features", ""},
	{"scan_afp", exposed, "vulnerable-system", "accessible-afp", "afp", high, "machine_type afp_versions uams flags server_name signature directory_service utf8_servername network_address", ""},
	{"scan_amqp", exposed, "vulnerable-system", "accessible-amqp", "amqp", medium, "channel message_length class method version_major version_minor capabilities cluster_name platform product product_version mechanisms locales", ""},
	{"scan_ard", exposed, "vulnerable-system", "accessible-ard", "", high, "@size machine_name", ""},
	{"scan_chargen", exposed, "vulnerable-system", "open-chargen", "chargen", medium, "@size", ""},
	{"scan_cisco_smart_install", exposed, "vulnerable-system", "accessible-cisco-smart-install", "cisco-smart-install", critical, "", ""},
	{"scan_coap", exposed, "vulnerable-system", "accessible-coap", "coap", medium, "@size version response", ""},
	{"scan_couchdb", exposed, "vulnerable-system", "open-couchdb", "couchdb", high, "server_version couchdb_message couchdb_version git_sha features vendor visible_databases error error_reason", ""},
	{"scan_db2", exposed, "vulnerable-system", "open-db2-discovery-service", "db2", high, "@size db2_hostname servername", ""},
	{"scan_ddos_middlebox", exposed, "vulnerable-system", "open-ddos-middlebox", "", medium, "source_port bytes amplification method", ""},
	{"scan_docker", exposed, "vulnerable-system", "open-docker", "docker", critical, "version http http_code http_reason content_type server date experimental api_version arch go_version os kernel_version git_commit min_api_version build_time pkg_version", ""},
	{"scan_dvr_dhcpdiscover", exposed, "vulnerable-system", "open-dvr-dhcpdiscover", "", high, "@size device_id device_serial machine_name manufacturer method http_port internal_port video_input_channels alarm_input_channels video_output_channels alarm_output_channels remote_video_input_channels mac_address ipv4_address ipv4_gateway ipv4_subnet_mask ipv4_dhcp_enable ipv6_address ipv6_link_local ipv6_gateway ipv6_dhcp_enable", ""},
	{"scan_epmd", exposed, "vulnerable-system", "open-epmd", "erlang port mapper daemon", high, "nodes", ""},
	{"scan_gtp", exposed, "potentially-unwanted-accessible", "accessible-gtp", "", low, "flags message_type message_type_text message_length teid sequence recovery response_size raw_response", ""},
	{"scan_hadoop", exposed, "vulnerable-system", "accessible-hadoop", "hadoop/tcp", high, "version server_type clusterid total_disk used_disk free_disk livenodes namenodeaddress volumeinfo", ""},
	{"scan_ics", exposed, "vulnerable-system", "open-ics", "", high, "device_id response_size raw_response", ""},
	{"scan_ipmi", exposed, "vulnerable-system", "open-ipmi", "ipmi/udp", high, "ipmi_version none_auth md2_auth md5_auth passkey_auth oem_auth defaultkg permessage_auth userlevel_auth usernames nulluser anon_login error deviceid devicerev firmwarerev version manufacturerid manufacturername productid productname", ""},
	{"scan_kubernetes", exposed, "vulnerable-system", "open-kubernetes", "kubernetes", high, "@tls version http http_code http_reason content_type server date major minor git_version git_commit git_tree_state build_date go_version compiler platform browser_trusted browser_error", ""},
	{"scan_ldap_udp", exposed, "vulnerable-system", "open-ldap", "ldap", high, "@size configuration_naming_context current_time default_naming_context dns_host_name domain_controller_functionality domain_functionality ds_service_name forest_functionality highest_committed_usn is_global_catalog_ready is_synchronized ldap_service_name naming_contexts root_domain_naming_context schema_naming_context server_name subschema_subentry supported_capabilities supported_control supported_ldap_policies supported_ldap_version supported_sasl_mechanisms", ""},
	{"scan_loop_dos", exposed, "vulnerable-system", "open-loop-dos", "", high, "detail application", ""},
	{"scan_mdns", exposed, "vulnerable-system", "open-mdns", "mdns", medium, "mdns_name mdns_ipv4 mdns_ipv6 services workstation_name workstation_ipv4 workstation_ipv6 workstation_info http_name http_ipv4 http_ipv6 http_ptr http_info http_target http_port spotify_name spotify_ipv4 spotify_ipv6 opc_ua_discovery", ""},
	{"scan_memcached", exposed, "vulnerable-system", "open-memcached", "memcached", high, "@size version pid pointer_size uptime time curr_connections total_connections", ""},
	{"scan_mssql", exposed, "vulnerable-system", "open-mssql", "mssql", high, "@size version server_name instance_name tcp_port named_pipe", ""},
	{"scan_nat_pmp", exposed, "vulnerable-system", "open-natpmp", "natpmp", high, "@size version opcode uptime external_ip", ""},
	{"scan_netbios", exposed, "vulnerable-system", "open-netbios-nameservice", "netbios-nameservice", high, "@size mac_address workgroup machine_name username", "username=source.account"},
	{"scan_netis_router", exposed, "vulnerable-system", "open-netis", "/udp", critical, "@size response", ""},
	{"scan_portmapper", exposed, "vulnerable-system", "open-portmapper", "portmapper", medium, "@size programs mountd_port exports", ""},
	{"scan_post_exploitation_framework", beacon, "c2-server", "c2-beacon", "", high, "http http_url http_code content_type content_length architecture beacon_type beacon_host beacon_port beacon_http_get beacon_http_post license_id config_md5 config_sha1 config_sha256 config_sha512 binary_md5 binary_sha1 binary_sha256 binary_sha512 encoded_length encoded_data", ""},
	{"scan_qotd", exposed, "vulnerable-system", "open-qotd", "qotd", medium, "@size quote", ""},
	{"scan_quic", exposed, "other", "open-quic", "", info, "version_field_1 version_field_2 version_field_3 version_field_4", ""},
	{"scan_radmin", exposed, "vulnerable-system", "accessible-radmin", "", high, "version", ""},
	{"scan_rdpeudp", exposed, "vulnerable-system", "accessible-msrdpeudp", "", high, "@size sessionid", ""},
	{"scan_redis", exposed, "vulnerable-system", "open-redis", "redis", high, "version git_sha1 git_dirty_flag build_id mode os architecture multiplexing_api gcc_version process_id run_id uptime connected_clients", ""},
	{"scan_sip", exposed, "vulnerable-system", "open-sip", "sip", high, "@size sip sip_code sip_reason user_agent sip_via sip_to sip_from content_length content_type server contact cseq call_id allow", ""},
	{"scan_socks", exposed, "vulnerable-system", "open-socks", "", medium, "", ""},
	{"scan_ssdp", exposed, "vulnerable-system", "open-ssdp", "ssdp", high, "@size header systime cache_control location server search_target unique_service_name host nts nt content_type server_port instance version updated_at resource_identifier", ""},
	{"scan_synfulknock", exposed, "vulnerable-system", "open-synfulknock", "", critical, "sequence_number ack_number window_size urgent_pointer tcp_flags raw_packet", ""},
	{"scan_tftp", exposed, "vulnerable-system", "open-tftp", "tftp", info, "@size opcode errorcode error errormessage size", ""},
	{"scan_ubiquiti", exposed, "vulnerable-system", "accessible-ubiquiti-discovery-service", "", high, "@size mac radioname essid modelshort modelfull firmware size", ""},
	{"scan_ws_discovery", exposed, "vulnerable-system", "open-ws-discovery", "ws-discovery", medium, "@size error raw_response", ""},
	{"scan_xdmcp", exposed, "vulnerable-system", "open-xdmcp", "xdmcp", high, "@size opcode reported_hostname status", ""},
	{"spam_url", advertised, "spam", "spam-url", "", low, "url source sender subject src_ip", "url=source.url hostname=source.fqdn"},
	{"special", exposed, "vulnerable-system", "special", "", medium, "public_source status detail method first_seen_time last_seen_time potential_exposure_time", ""},
	{"test_smb", exposed, "vulnerable-system", "open-smb", "smb/tcp", high, "smb_implant arch key smbv1_support smb_major_number smb_minor_number smb_revision smb_version_string", ""},
	{"test_telnet", exposed, "vulnerable-system", "open-telnet", "telnet/tcp", medium, "banner", ""},
}
