package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"time"

	"tocsin/internal/app"
	"tocsin/internal/event"
	"tocsin/internal/loss"
	"tocsin/internal/policy"
	"tocsin/internal/registry"
	"tocsin/internal/sim"
	"tocsin/internal/web"
)

// socketName is the socket in the data directory through which commands talk
// to a running server. Who can open it owns the directory.
const socketName = "tocsin.sock"

// maxSocket is how long the name of a socket may be everywhere, in bytes.
const maxSocket = 100

// socketAddress gives a name for the socket of a data directory that the system
// takes, however long the directory's own is, until forget is called.
func socketAddress(dir string) (path string, forget func(), err error) {
	if path = filepath.Join(dir, socketName); len(path) <= maxSocket {
		return path, func() {}, nil
	}
	d, err := os.Open(dir) //nolint:gosec // the operator's own path
	if err != nil {
		return "", nil, err
	}
	return fmt.Sprintf("/proc/self/fd/%d/%s", d.Fd(), socketName), func() { _ = d.Close() }, nil
}

func newServer(log *slog.Logger, a *app.App, c config) (*web.Server, error) {
	hosts := c.Hosts
	if len(hosts) == 0 && onLoopback(c.Listen) {
		hosts = web.LoopbackHosts()
	}
	return web.New(log, web.Config{MaxBody: c.MaxBody, Hosts: hosts, Frank: c.frank}, web.Deps{Backend: a, Auth: a.Authenticator(), Metrics: a.Metrics(), IDF: event.AppendIDF})
}

func onLoopback(addr string) bool {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return false
	}
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.IsLoopback()
}

type serveCmd struct {
	Listen string `help:"HOST:PORT of the pages and the API; elsewhere than on loopback only once a token that may read exists." placeholder:"127.0.0.1:8480"`
}

// Run serves until it is told to stop.
func (s serveCmd) Run(ctx context.Context, g *globals) error {
	cfg, err := loadConfig(g.Data)
	if err != nil {
		return err
	}
	if s.Listen != "" {
		cfg.Listen = s.Listen
	}
	log := g.logger(slog.LevelInfo)
	a, err := app.Start(ctx, log, cfg.app(g.Data), app.Deps{Truth: (&truths{}).of})
	if err != nil {
		return err
	}
	defer a.Close()
	return serve(ctx, log, g, a, cfg, nil)
}

// serve runs the app and its listeners until ctx ends or one of them fails.
// Then it finishes what is under way within a deadline. After is run when
// everything listens.
func serve(ctx context.Context, log *slog.Logger, g *globals, a *app.App, cfg config, after func(context.Context, string) error) error {
	if err := a.Listenable(cfg.Listen); err != nil {
		return err
	}
	web1, err := newServer(log, a, cfg)
	if err != nil {
		return err
	}
	own := cfg
	own.Hosts, own.Listen, own.frank = nil, "", true
	web2, err := newServer(log, a, own)
	if err != nil {
		return err
	}
	public := web.HTTPServer(cfg.Listen, web1, log)
	private := web.HTTPServer("", web2, log)
	private.WriteTimeout, private.ReadTimeout = 0, 0
	private.ConnContext = func(ctx context.Context, _ net.Conn) context.Context { return app.Local(ctx) }

	var lc net.ListenConfig
	tcp, err := lc.Listen(ctx, "tcp", cfg.Listen)
	if err != nil {
		return fmt.Errorf("listen on %s: %w: choose another with --listen", cfg.Listen, err)
	}
	path, forget, err := socketAddress(g.Data)
	if err != nil {
		_ = tcp.Close()
		return fmt.Errorf("listen for commands: %w", err)
	}
	defer forget()
	_ = os.Remove(path) // of a server that was killed; the lock on the data proves that none runs
	unix, err := lc.Listen(ctx, "unix", path)
	if err != nil {
		_ = tcp.Close()
		return fmt.Errorf("listen for commands: %w: a data directory with a shorter name may help", err)
	}
	if err := os.Chmod(path, 0o600); err != nil {
		return err
	}
	run, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	errs := make(chan error, 4)
	spawn := func(f func() error) {
		go func() {
			err := f()
			if errors.Is(err, http.ErrServerClosed) {
				err = nil
			}
			stop(err)
			errs <- err
		}()
	}
	spawn(func() error { return a.Run(run) })
	spawn(func() error { return public.Serve(tcp) })
	spawn(func() error { return private.Serve(unix) })
	log.LogAttrs(ctx, slog.LevelInfo, "serving", slog.String("listen", tcp.Addr().String()), slog.String("data", g.Data), slog.String("version", app.Version))
	n := 3
	if after != nil {
		n++
		spawn(func() error {
			if err := after(run, "http://"+tcp.Addr().String()+"/"); err != nil {
				return err
			}
			<-run.Done()
			return nil
		})
	}
	<-run.Done()
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	if err := errors.Join(public.Shutdown(last), private.Shutdown(last)); err != nil {
		_ = public.Close()
		_ = private.Close()
	}
	var all []error
	for range n {
		if err := <-errs; err != nil && !errors.Is(err, context.Canceled) {
			all = append(all, err)
		}
	}
	return errors.Join(all...)
}

type demoCmd struct {
	Listen string `help:"HOST:PORT of the pages." default:"127.0.0.1:8480"`
	Seed   uint64 `help:"Which country; the same seed gives the same." default:"1"`
	Rows   int    `help:"About how many rows." default:"300000"`
	To     string `help:"The last day, YYYY-MM-DD." default:"2026-10-31"`
	Exit   bool   `help:"Stop when everything is loaded, instead of serving."`
	Truth  string `help:"Write the simulator's own truth to this file: what feeds report, and what is true behind them in the last 28 days and in all." type:"path"`
}

// Run makes a simulated country and serves it. A directory that holds one
// already is served as it is.
func (d demoCmd) Run(ctx context.Context, g *globals) error {
	to, err := time.Parse(time.DateOnly, d.To)
	if err != nil {
		return fmt.Errorf("--to %q: want YYYY-MM-DD", d.To)
	}
	country, err := sim.New(sim.Config{Seed: d.Seed, To: to, Rows: d.Rows})
	if err != nil {
		return err
	}
	if d.Truth != "" {
		f, err := os.Create(d.Truth)
		if err != nil {
			return err
		}
		if err := errors.Join(country.Truth().WriteJSON(f), f.Close()); err != nil {
			return err
		}
	}
	cfg, err := loadConfig(g.Data)
	if err != nil {
		return err
	}
	cfg.Listen = d.Listen
	log := g.logger(slog.LevelWarn)
	a, err := app.Open(ctx, log, cfg.app(g.Data), app.Deps{Truth: (&truths{}).of})
	if err != nil {
		return err
	}
	defer a.Close()
	started := time.Now()
	return serve(ctx, log, g, a, cfg, func(ctx context.Context, url string) error {
		if !a.Empty() {
			fmt.Fprintf(os.Stderr, "%s holds data already: it is served as it is. Name a new directory with --data for another country.\n", g.Data)
		} else {
			fmt.Fprintf(os.Stderr, "Making a simulated country of about %d rows ...\n", d.Rows)
			p := newProgress(g, "demo")
			p.unit = "deliveries taken in"
			s := simulation(country, madeFrom(d.Seed, d.Rows, d.To))
			if err := a.Simulate(ctx, s, func(n int) { p.show(int64(n), 0) }); err != nil {
				return err
			}
			p.end()
			if err := a.Settled(ctx); err != nil {
				return err
			}
			if _, err := a.Decide(ctx, s.Decisions); err != nil {
				return err
			}
			fmt.Fprintf(os.Stderr, "Loaded after %.1f s.\n", time.Since(started).Seconds())
		}
		if d.Exit {
			if g.JSON {
				st, err := a.Status(ctx, policy.Local())
				return errors.Join(err, printJSON(st), errDone)
			}
			return errDone
		}
		if err := a.Derived(ctx); err != nil {
			return err
		}
		fmt.Fprintf(os.Stderr, "The statement, with what is so in this country beside it, is at %sstatement (Ctrl-C stops).\n", url)
		return nil
	})
}

// errDone ends a server that has done what it was started for; context.Canceled
// is what a clean stop looks like.
var errDone = fmt.Errorf("done: %w", context.Canceled)

// simulation gives the simulated country in the app's words.
func simulation(c *sim.Country, from string) app.Simulation {
	s := app.Simulation{
		MadeFrom: from,
		Home:     sim.Home, HomeName: "Simuland", Prefixes: c.Prefixes(), Organisations: c.Organisations(),
		Users: c.Users(), Networks: c.Networks(), Leases: c.Leases(), Loss: loss.Simulated,
	}
	for _, f := range c.Feeds() {
		s.Feeds = append(s.Feeds, registry.Feed{Name: f.Name, Format: f.Format, Marking: f.Marking, Schedule: f.Schedule, Upstream: f.Upstream})
	}
	s.Decisions = decisions(c)
	s.Deliveries = func(yield func(app.SimulatedDelivery) bool) {
		for d := range c.Deliveries() {
			if !yield(app.SimulatedDelivery{Feed: d.Feed, Format: d.Format, Name: d.Name, Report: d.Report, Received: d.Received, Bytes: d.Bytes}) {
				return
			}
		}
	}
	return s
}
