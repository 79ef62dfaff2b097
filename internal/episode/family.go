package episode

import "strings"

// aliases has the names of malware families that are one, by the name that
// tocsin uses: the one most feeds use. Each is a public fact; the pages that
// state it stand in docs/episodes.md.
var aliases = map[string][]string{
	"andromeda":  {"gamarue", "wauchos"},
	"conficker":  {"downadup", "kido"},
	"cutwail":    {"pandex"},
	"dridex":     {"bugat", "cridex"},
	"emotet":     {"geodo", "heodo"},
	"gameover":   {"gameover-zeus", "gameoverzeus", "p2pzeus", "p2p-zeus", "zeus-p2p", "zeusp2p"},
	"gozi":       {"isfb", "ursnif", "snifula"},
	"kelihos":    {"hlux"},
	"qakbot":     {"qbot", "quakbot", "pinkslipbot"},
	"ramnit":     {"nimnul"},
	"rovnix":     {"cidox"},
	"tinba":      {"tinybanker", "zusy"},
	"trickbot":   {"trickloader", "trickster"},
	"zeroaccess": {"sirefef", "max++"},
	"zeus":       {"zbot", "wsnpoem"},
}

var canonical = func() map[string]string {
	m := map[string]string{}
	for name, others := range aliases {
		for _, o := range others {
			m[o] = name
		}
	}
	return m
}()

// Names returns the other names of a family, by its one name.
func Names(one string) []string { return aliases[strings.ToLower(one)] }

// Family returns the one name of a malware family that feeds call by several,
// and whether the name is another one of it.
func Family(name string) (one string, ok bool) {
	one, ok = canonical[strings.ToLower(name)]
	return one, ok
}
