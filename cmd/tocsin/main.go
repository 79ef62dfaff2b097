// Command tocsin takes in abuse reports, keeps them, and answers how many, of
// what, where and since when, with figures that open down to the raw bytes.
package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/alecthomas/kong"

	"tocsin/internal/app"
)

// globals are the flags of every command.
type globals struct {
	Data    string `help:"The data directory." env:"TOCSIN_DATA" default:"./data" type:"path"`
	JSON    bool   `help:"Print one JSON document (events: one JSON object a line)."`
	Verbose bool   `help:"Log what is done." short:"v"`
	Quiet   bool   `help:"Show no progress." short:"q"`
}

// cli lists the commands.
type cli struct {
	globals

	Serve         serveCmd         `cmd:"" help:"Serve the pages and the API, load what arrives, watch the inbox."`
	Demo          demoCmd          `cmd:"" help:"Make a simulated country, lead its reports through the real road, and serve it."`
	Import        importCmd        `cmd:"" help:"Take in report files."`
	Withdraw      withdrawCmd      `cmd:"" help:"Take a delivery back; nothing is erased, and the reason is kept."`
	Deliveries    deliveriesCmd    `cmd:"" help:"List deliveries and what became of them."`
	Quarantine    quarantineCmd    `cmd:"" help:"List rows that could not become events, and why."`
	Events        eventsCmd        `cmd:"" help:"List events."`
	Episodes      episodesCmd      `cmd:"" help:"List episodes: infections, controllers, hacked sites and exposures from first to last seen."`
	Coverage      coverageCmd      `cmd:"" help:"Print who looked when: on which days each witness reported each class, and on which it should have."`
	Breaks        breaksCmd        `cmd:"" help:"List level shifts of one witness alone, and say whether each is a break."`
	Figures       figuresCmd       `cmd:"" help:"Print the figures of a period."`
	Statement     statementCmd     `cmd:"" help:"Say a period in plain words: hosts hijacked, from where they are controlled, sites hacked, the change on last year, and how sure each number is."`
	Report        reportCmd        `cmd:"" help:"Write the report of a period: one page to print or send, and its data beside it."`
	Rates         ratesCmd         `cmd:"" help:"Print a figure per 100,000 users, by region or network."`
	Release       releaseCmd       `cmd:"" help:"Release a month's tables to the public, or list what was released."`
	Estimate      estimateCmd      `cmd:"" help:"Answer a file of cases by the estimators behind published figures."`
	Loss          lossCmd          `cmd:"" help:"Print what it cost, between what and what, or set the inputs."`
	Publish       publishCmd       `cmd:"" help:"Publish the figures of a period: keep the document for good, as a revision."`
	Published     publishedCmd     `cmd:"" help:"List what was published, with reasons and differences."`
	Feeds         feedsCmd         `cmd:"" help:"List the feeds, or set one up."`
	Organisations organisationsCmd `cmd:"" help:"List the organisations, or load them and their networks from a CSV."`
	Refdata       refdataCmd       `cmd:"" help:"List the reference data, or load tables of addresses, users, networks and leases."`
	Formats       formatsCmd       `cmd:"" help:"List the formats that can be read."`
	Tokens        tokensCmd        `cmd:"" help:"List, make and take back tokens for reading and pushing."`
	Audit         auditCmd         `cmd:"" help:"List what was changed, when and by whom."`
	Check         checkCmd         `cmd:"" help:"Build everything, report what is wrong with the configuration, and stop."`
	Verify        verifyCmd        `cmd:"" help:"Read and hash everything again; name what is damaged or missing."`
	Rebuild       rebuildCmd       `cmd:"" help:"Make the store anew from the archive and swap it in."`
	Reenrich      reenrichCmd      `cmd:"" help:"Annotate everything loaded with the reference data and organisations now in force."`
	Backup        backupCmd        `cmd:"" help:"Copy all that has been acked into an empty directory."`
	Restore       restoreCmd       `cmd:"" help:"Make a new data directory from a backup."`
	Version       versionCmd       `cmd:"" help:"Print the version."`
}

func main() {
	os.Exit(run(os.Args[1:]))
}

// run is main with an exit code: 0 done, 1 not done, 2 wrong usage, 3 damage
// found.
func run(args []string) int {
	app.Tune()
	var c cli
	parser, err := kong.New(&c,
		kong.Name("tocsin"),
		kong.Description("Abuse reports in, figures that open down to the raw bytes out. Commands work beside a running server, through it, and without one."),
		kong.UsageOnError(),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true}),
	)
	if err != nil {
		fmt.Fprintln(os.Stderr, "tocsin:", err)
		return 2
	}
	k, err := parser.Parse(args)
	if err != nil {
		fmt.Fprintf(os.Stderr, "tocsin: %v\nSee `tocsin --help`.\n", err)
		return 2
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	k.BindTo(ctx, (*context.Context)(nil))
	err = k.Run(&c.globals)
	var damage damageError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &damage):
		fmt.Fprintln(os.Stderr, "tocsin:", err)
		return 3
	case errors.Is(err, context.Canceled) && ctx.Err() != nil:
		fmt.Fprintln(os.Stderr, "tocsin: stopped")
		return 1
	default:
		fmt.Fprintln(os.Stderr, "tocsin:", err)
		return 1
	}
}

// damageError says that a verification found damage.
type damageError struct{ n int }

func (e damageError) Error() string {
	return fmt.Sprintf("%d damaged or missing places; what each concerns is listed above", e.n)
}

// logger writes one JSON object a line to standard error: text from feeds
// cannot forge lines or reach the terminal.
func (g *globals) logger(level slog.Level) *slog.Logger {
	if g.Verbose {
		level = slog.LevelDebug
	}
	return slog.New(slog.NewJSONHandler(os.Stderr, &slog.HandlerOptions{Level: level}))
}

type versionCmd struct{}

// Run prints the version.
func (versionCmd) Run(g *globals) error {
	if g.JSON {
		return printJSON(map[string]string{"version": app.Version})
	}
	_, err := fmt.Println("tocsin", app.Version)
	return err
}

type checkCmd struct{}

// Run builds everything and stops.
func (c checkCmd) Run(ctx context.Context, g *globals) error {
	cfg, err := loadConfig(g.Data)
	if err != nil {
		return err
	}
	if err := g.exists(); err != nil {
		return err
	}
	if g.running() {
		return c.beside(ctx, g)
	}
	log := g.logger(slog.LevelWarn)
	a, err := app.Open(ctx, log, cfg.app(g.Data), app.Deps{Truth: (&truths{}).of})
	if err != nil {
		return err
	}
	defer a.Close()
	if _, err := newServer(log, a, cfg); err != nil {
		return err
	}
	if err := a.Listenable(cfg.Listen); err != nil {
		return err
	}
	if g.JSON {
		return printJSON(map[string]bool{"ok": true})
	}
	_, err = fmt.Println("The configuration, the journal and the store are in order.")
	return err
}

// beside checks while a server has the journal and the store open: their state
// is its to tell.
func (checkCmd) beside(ctx context.Context, g *globals) error {
	return with(ctx, g, func(x *client) error {
		rc, err := x.open(ctx, http.MethodGet, "/healthz", nil, nil)
		if err != nil {
			return fmt.Errorf("the configuration can be read, but the running server is not well: %w", err)
		}
		_ = rc.Close()
		if g.JSON {
			return printJSON(map[string]bool{"ok": true})
		}
		_, err = fmt.Println("The configuration can be read, and the server that runs here is well; it takes a changed configuration at its next start.")
		return err
	})
}

func join(list []string) string {
	if len(list) == 0 {
		return "-"
	}
	return strings.Join(list, ", ")
}
