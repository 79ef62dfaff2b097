package sim

// Happening is one thing that happened in the country, as an analyst would come
// to know of it.
type Happening struct {
	From, To Day // of the change itself; both included
	Class    string
	Family   string // as reports name it, or the identifier of what is exposed; "" for the class as a whole
	Feed     string // whose numbers it changes; "" for those of any that sees it
	View     bool   // only what the feed sees changed; false: the world did
	What     string
}

// What stands for the family where reports tell of no malware.
const (
	idWebVulnerable = "vulnerable-http"
	idTelnet        = "open-telnet"
	idDefacement    = "defacement"
)

// when gives the first day that has come as far as a thousandth of the time.
func (c *Country) when(at int) Day {
	last := int(c.to - c.from)
	return c.from + Day((at*last+999)/1000) //nolint:gosec // a day of the country
}

// Story lists what happened, in order of time. Each but for those of silence
// shows in the numbers of what it names; what reports say of it is not asked.
func (c *Country) Story() []Happening {
	north, partner, border := feeds[feedNorth].Name, feeds[feedPartner].Name, feeds[feedBorder].Name
	list := []Happening{
		{c.when(webBug), c.when(webBug + 35), Exposure, idWebVulnerable, "", false, "a flaw of a web server became known: from then on the servers that have it are vulnerable"},
		{c.when(webBug), c.when(webBug + 35), Exposure, "", "", false, "a flaw of a web server became known: from then on the servers that have it are vulnerable"},
		{c.when(webBug + 35), c.when(webBug + 120), Exposure, idWebVulnerable, "", false, "servers with the flaw that had become known were mended"},
		{c.when(takedown), c.when(takedown), Infection, families[brackish].name, border, true, "the controllers of brackish were taken over: its hosts stay infected, and have no controller any more that the sensors could see them with"},
		{c.when(takedown), c.when(takedown), Infection, "", border, true, "the controllers of brackish were taken over: its hosts stay infected, and have no controller any more that the sensors could see them with"},
		{c.when(takedown), c.when(takedown), Infection, families[brackish].name, north, true, "the controllers of brackish were taken over by a sinkhole: hosts that had long been infected became visible"},
		{c.when(takedown + 35), c.when(takedown + 150), Infection, families[brackish].name, north, false, "nobody spreads brackish any more, and its hosts were cleaned"},
		{c.when(takedown + 35), c.when(takedown + 150), Infection, "", north, false, "nobody spreads brackish any more, and its hosts were cleaned"},
		{c.when(defacements), c.when(defacements) + 2, HackedSite, idDefacement, "", false, "sites of one hoster were defaced in a night"},
		{c.when(telnetFilter), c.when(telnetFilter), Exposure, idTelnet, "", false, "Norlink filters telnet"},
		{c.when(sensorsFail), c.when(sensorsBack) - 1, Infection, "", border, true, "the border sensors were silent"},
		{c.when(sinkholeMoves), c.when(sinkholeMoves), Infection, families[foxtail].name, partner, true, "the partner lost most of the names that foxtail looks up; its hosts stay infected"},
		{c.when(sinkholeMoves), c.when(sinkholeMoves), Infection, "", partner, true, "the partner lost most of the names that foxtail looks up; its hosts stay infected"},
		{c.when(newFamily), c.when(newFamily + 150), Infection, families[emberworm].name, "", false, "emberworm, which is new, spread"},
		{c.when(newFamily), c.when(newFamily + 150), Infection, "", partner, false, "emberworm, which is new, spread; the partner sees little else"},
		{c.when(bankAttack), c.when(bankAttack + 20), Victim, "", "", false, "banks were flooded"},
		{c.when(outageBegins), c.when(outageEnds) - 1, Infection, "", north, true, "the second sinkhole operator was silent"},
		{c.when(cleanUp), c.when(cleanUp + 25), Infection, "", border, false, "Simuland Telecom told its customers, and three times as many as before were cleaned"},
	}
	for i := range list {
		list[i].To = min(max(list[i].From, list[i].To), c.to)
	}
	return list
}
