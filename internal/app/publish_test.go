package app

import (
	"bytes"
	"context"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"tocsin/internal/archive"
	"tocsin/internal/event"
	"tocsin/internal/figure"
	"tocsin/internal/loss"
	"tocsin/internal/policy"
	"tocsin/internal/query"
	"tocsin/internal/web"
)

// attempts is a delivery of two attack attempts on the first day of the parcels.
func attempts() parcel {
	day := testDay.Format(time.DateOnly)
	return parcel{feed: "pots", name: day + "-event4_honeypot_brute_force-example-geo.csv", rows: 2, events: 2, body: []byte(
		`"timestamp","protocol","src_ip","src_port","dst_ip","dst_port","infection","family","tag","service"` + "\n" +
			`"` + day + ` 03:00:00","tcp","203.0.113.20",50001,"192.0.2.200",22,"ssh-brute-force",,,"ssh"` + "\n" +
			`"` + day + ` 03:00:01","tcp","203.0.113.20",50002,"192.0.2.200",22,"ssh-brute-force",,,"ssh"` + "\n")}
}

func parcelPeriod() query.Period {
	first := event.DayFrom(testDay)
	return query.Period{From: first, To: first + testDays - 1}
}

// TestPublish publishes a period again and again: the same bytes make no
// revision, others need a reason, a withdrawn delivery changes exactly the
// figures that rest on it, and every revision gives its bytes back whatever
// happened since.
func TestPublish(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	dir := filepath.Join(t.TempDir(), "data")
	r := begin(t, smallConfig(dir), Deps{})
	r.reference(t)
	r.mustSend(t, mixedParcels(2, 3, 60)...)
	pots := r.mustSend(t, attempts())[0]
	p := parcelPeriod()

	// Deliveries that wait are in: nobody has to wait for them before.
	first, err := r.Publish(ctx, localScope, p, "")
	if err != nil {
		t.Fatal(err)
	}
	if first.Revision != 1 || first.OfPeriod != 1 || first.Supersedes != 0 || first.Unchanged || len(first.Differs) != 0 || first.By != "local" {
		t.Errorf("%+v", first)
	}
	if in := first.Inputs; in.Through != r.arch.Last()-1 || in.Program != Version || in.Enrichment != r.reg.Enrichment() || in.Reenriched != 0 || len(in.Refdata) < 2 || in.Definitions["hacked-sites"] != 1 {
		t.Errorf("%+v", in)
	}
	want, err := r.Figures(ctx, localScope, figure.Params{Period: p})
	if err != nil {
		t.Fatal(err)
	}
	figures, err := want.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	doc, err := r.Document(ctx, localScope, 1)
	if err != nil || !bytes.HasPrefix(doc, bytes.TrimSuffix(figures, []byte("}\n"))) || !bytes.Contains(doc, []byte(`"statement":{`)) {
		t.Errorf("the document is not the figures and the statement: %v", err)
	}
	docs := map[int][]byte{1: doc}
	holds := func(what string, r *running) {
		t.Helper()
		for n, doc := range docs {
			if b, err := r.Document(ctx, localScope, n); err != nil || !bytes.Equal(b, doc) {
				t.Errorf("%s: revision %d is not what was published: %v", what, n, err)
			}
		}
		list, err := r.Published(ctx, localScope)
		if err != nil || len(list) != len(docs) || list[0].Revision != len(docs) {
			t.Errorf("%s: %+v %v", what, list, err)
		}
	}
	holds("at once", r)

	last := r.arch.Last()
	again, err := r.Publish(ctx, localScope, p, "once more")
	if err != nil || !again.Unchanged || again.Revision != 1 || again.Why != "" || r.arch.Last() != last {
		t.Errorf("published again: %+v, %d lines more, %v", again, r.arch.Last()-last, err)
	}

	if _, err := r.Withdraw(ctx, localScope, pots, "a test of the sensor"); err != nil {
		t.Fatal(err)
	}
	last = r.arch.Last()
	if _, err := r.Publish(ctx, localScope, p, "  "); wants(err, web.ErrConflict) != nil || !strings.Contains(err.Error(), "attack-attempts, attack-attempts-seen differ") || r.arch.Last() != last {
		t.Errorf("without a reason: %v", err)
	}
	second, err := r.Publish(ctx, localScope, p, "the sensor was tested")
	if err != nil {
		t.Fatal(err)
	}
	if second.Revision != 2 || second.OfPeriod != 2 || second.Supersedes != 1 || !slices.Equal(second.Differs, []string{"attack-attempts", "attack-attempts-seen"}) || !second.Rest || second.Why != "the sensor was tested" {
		t.Errorf("%+v", second)
	}
	if docs[2], err = r.Document(ctx, localScope, 2); err != nil || bytes.Equal(docs[1], docs[2]) {
		t.Error("the second revision is the first", err)
	}
	holds("after a withdrawal", r)

	// Another period has revisions of its own.
	short := query.Period{From: p.From, To: p.From + 2}
	third, err := r.Publish(ctx, policy.For("ann", policy.Admin, nil, nil, true), short, "")
	if err != nil || third.Revision != 3 || third.OfPeriod != 1 || third.Supersedes != 0 || third.By != "ann" {
		t.Errorf("%+v %v", third, err)
	}
	if docs[3], err = r.Document(ctx, localScope, 3); err != nil {
		t.Fatal(err)
	}

	if _, err := r.ImportOrganisations(ctx, localScope, strings.NewReader("organisation,name,sector,region,network,contact\nall,All,isp,x,0.0.0.0/0,a@all.example\n")); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Reenrich(ctx, localScope, nil); err != nil {
		t.Fatal(err)
	}
	holds("after a reenrichment", r)
	if _, err := r.Rebuild(ctx, localScope, nil); err != nil {
		t.Fatal(err)
	}
	holds("after a rebuild", r)
	// Other organisations answer for the same networks now, and nothing else differs.
	if _, err := r.Publish(ctx, localScope, short, ""); wants(err, web.ErrConflict) != nil || !strings.Contains(err.Error(), "and organisations-affected differ now") {
		t.Errorf("after a rebuild: %v", err)
	}
	before, err := r.Published(ctx, localScope)
	if err != nil {
		t.Fatal(err)
	}
	r.stop()
	r = begin(t, smallConfig(dir), Deps{})
	holds("after a restart", r)
	if after, err := r.Published(ctx, localScope); err != nil || len(after) != len(before) || after[0].SHA256 != before[0].SHA256 || after[1].Inputs.Through != before[1].Inputs.Through || !after[1].At.Equal(before[1].At) {
		t.Errorf("%+v %v", after, err)
	}

	for what, f := range map[string]func() error{
		"an analyst publishes": func() error {
			_, err := r.Publish(ctx, policy.For("ann", policy.Analyst, nil, nil, true), p, "x")
			return wants(err, web.ErrForbidden)
		},
		"an organisation lists": func() error {
			_, err := r.Published(ctx, policy.For("org", policy.Organisation, []string{"all"}, nil, true))
			return wants(err, query.ErrNotFound)
		},
		"an organisation reads": func() error {
			_, err := r.Document(ctx, policy.For("org", policy.Organisation, []string{"all"}, nil, true), 1)
			return wants(err, query.ErrNotFound)
		},
		"no such revision": func() error { _, err := r.Document(ctx, localScope, 4); return wants(err, query.ErrNotFound) },
		"a period turned round": func() error {
			_, err := r.Publish(ctx, localScope, query.Period{From: 9, To: 8}, "x")
			return wants(err, web.ErrBadRequest)
		},
		"a long reason": func() error {
			_, err := r.Publish(ctx, localScope, p, strings.Repeat("x", maxWhy+1))
			return wants(err, web.ErrBadRequest)
		},
		"during a rebuild": func() error {
			done, err := r.alone()
			if err != nil {
				return err
			}
			defer done()
			_, err = r.Publish(ctx, localScope, p, "x")
			return wants(err, web.ErrConflict)
		},
	} {
		if err := f(); err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// TestPublishWhileWithdrawn holds that no publication falls between the line of
// a withdrawal and the delivery's leaving the figures.
func TestPublishWhileWithdrawn(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	reached, goOn := make(chan struct{}), make(chan struct{})
	r := begin(t, smallConfig(filepath.Join(t.TempDir(), "data")), Deps{Hook: func(point string) {
		if point == "withdraw-journalled" {
			close(reached)
			<-goOn
		}
	}})
	pots := r.mustSend(t, attempts())[0]
	r.settle(t)
	done := make(chan error, 2)
	go func() { _, err := r.Withdraw(ctx, localScope, pots, "gone"); done <- err }()
	<-reached
	var rev query.Revision
	go func() {
		var err error
		rev, err = r.Publish(ctx, localScope, parcelPeriod(), "")
		done <- err
	}()
	select {
	case err := <-done:
		t.Errorf("published in the middle of a withdrawal: %+v %v", rev, err)
	case <-time.After(200 * time.Millisecond):
	}
	close(goOn)
	for range 2 {
		if err := <-done; err != nil {
			t.Fatal(err)
		}
	}
	b, err := r.Document(ctx, localScope, rev.Revision)
	if err != nil || !bytes.Contains(b, []byte(`"id":"attack-attempts"`)) || bytes.Contains(b, []byte(`"events":2`)) {
		t.Errorf("%s %v", b, err)
	}
}

// TestLoss sets inputs, and reads them again after a restart: the newest file is
// in force, counted figures come from the store, and others wait for whoever
// counts them.
func TestLoss(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	dir := filepath.Join(t.TempDir(), "data")
	r := begin(t, smallConfig(dir), Deps{})
	p := parcelPeriod()
	if rep, err := r.Loss(ctx, localScope, p); err != nil || rep.Given {
		t.Errorf("without inputs: %+v %v", rep, err)
	}
	r.mustSend(t, attempts())
	r.settle(t)
	if _, err := r.SetLoss(ctx, localScope, bytes.NewReader(loss.Example)); err != nil {
		t.Fatal(err)
	}
	file, err := r.SetLoss(ctx, localScope, bytes.NewReader(loss.Simulated))
	if err != nil || file.Categories != 6 || file.Line != r.arch.Last() {
		t.Fatalf("%+v %v", file, err)
	}
	if same, err := r.SetLoss(ctx, localScope, bytes.NewReader(loss.Simulated)); err != nil || same.Line != file.Line || r.arch.Last() != file.Line {
		t.Errorf("the same file again: %+v %v", same, err)
	}
	check := func(r *running) loss.Report {
		t.Helper()
		rep, err := r.Loss(ctx, localScope, p)
		if err != nil {
			t.Fatal(err)
		}
		if rep.SHA256 != file.SHA256 || rep.Days != testDays {
			t.Errorf("%+v", rep)
		}
		for name, why := range map[string]string{
			"repair of hacked sites (SIMULATED)":      "no number: the figure hacked-sites has no data in this period",
			"fraud after infections (SIMULATED)":      "no number: Of no network with infections is it known that its addresses do not change, and elsewhere an episode measures the lease: import the networks with tocsin refdata networks.",
			"extortion of organisations (SIMULATED)":  "",
			"sorting out attack attempts (SIMULATED)": "",
		} {
			i := slices.IndexFunc(rep.Categories, func(c loss.Row) bool { return c.Name == name })
			if c := rep.Categories[i]; c.Why != why || (c.Amount == nil) != (why != "") {
				t.Errorf("%s: %+v", name, c)
			}
		}
		return rep
	}
	one := check(r)
	if i := slices.IndexFunc(one.Inputs, func(i loss.Input) bool { return i.What == "figure attack-attempts" }); one.Inputs[i].Value != "2" {
		t.Errorf("%+v", one.Inputs[i])
	}
	began := time.Now()
	check(r)
	if d := time.Since(began); d > 500*time.Millisecond {
		t.Logf("the same report again took %s", d)
	}
	r.stop()
	r = begin(t, smallConfig(dir), Deps{})
	r.settle(t)
	two := check(r)
	if a, b := one.Categories[2].Amount, two.Categories[2].Amount; *a != *b {
		t.Errorf("after a restart %+v, before %+v", b, a)
	}
	r.estimated = func(_ context.Context, _ policy.Scope, id string, _ query.Period) (loss.Value, error) {
		return loss.Value{Lo: 10, Hi: 20, OK: id == "infections-begun"}, nil
	}
	if rep, err := r.Loss(ctx, localScope, p); err != nil || rep.Categories[1].Amount == nil {
		t.Errorf("with an estimate: %+v %v", rep.Categories[1], err)
	}

	for what, f := range map[string]func() error{
		"an organisation reads": func() error {
			_, err := r.Loss(ctx, policy.For("org", policy.Organisation, []string{"a"}, nil, true), p)
			return wants(err, query.ErrNotFound)
		},
		"an analyst sets": func() error {
			_, err := r.SetLoss(ctx, policy.For("ann", policy.Analyst, nil, nil, true), bytes.NewReader(loss.Example))
			return wants(err, web.ErrForbidden)
		},
		"a bad file": func() error {
			_, err := r.SetLoss(ctx, localScope, strings.NewReader("currency: euro\n"))
			return wants(err, web.ErrBadRequest)
		},
		"a large file": func() error {
			_, err := r.SetLoss(ctx, localScope, strings.NewReader(strings.Repeat("#", 1<<20)))
			return wants(err, web.ErrBadRequest)
		},
		"no period": func() error {
			_, err := r.Loss(ctx, localScope, query.Period{From: 9, To: 8})
			return wants(err, web.ErrBadRequest)
		},
	} {
		if err := f(); err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
	lines := 0
	for l, err := range r.arch.Lines(ctx, 1) {
		if err != nil {
			t.Fatal(err)
		}
		if l.Kind == archive.KindLoss {
			lines++
		}
	}
	if lines != 2 {
		t.Errorf("%d lines of inputs, want 2", lines)
	}
}
