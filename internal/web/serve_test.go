package web_test

import (
	"flag"
	"log/slog"
	"net/http"
	"testing"

	"tocsin/internal/web"
)

var serve = flag.String("serve", "", "serve the pages with made-up data at this address, for looking at them")

// TestServe is for people: go test ./internal/web -run TestServe -serve 127.0.0.1:8499 -timeout 0.
func TestServe(t *testing.T) {
	if *serve == "" {
		t.Skip("set -serve ADDRESS to look at the pages")
	}
	empty := &fake{}
	empty.status = web.Status{Version: "0.1.0", Home: "XS", HomeName: "Simuland", Now: world(1, 1).status.Now}
	hosts := web.Config{Hosts: web.LoopbackHosts()}
	mux := http.NewServeMux()
	for path, f := range map[string]*fake{"/": world(120, 120), "/empty/": empty, "/hostile/": hostile()} {
		s, err := web.New(slog.New(slog.DiscardHandler), hosts, web.Deps{Backend: f, Auth: keys{local: true}})
		if err != nil {
			t.Fatal(err)
		}
		mux.Handle(path, http.StripPrefix(path[:len(path)-1], s))
	}
	srv := web.HTTPServer(*serve, mux, slog.New(slog.DiscardHandler))
	t.Fatal(srv.ListenAndServe())
}
