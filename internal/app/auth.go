package app

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"strings"

	"tocsin/internal/policy"
	"tocsin/internal/web"
)

// localKey marks the context of connections that only the owner of the data
// directory can make: those through its socket, and calls within the program.
type localKey struct{}

// Local marks ctx as coming from the owner of the data directory.
func Local(ctx context.Context) context.Context { return context.WithValue(ctx, localKey{}, true) }

// Authenticator finds out who asks over HTTP.
type Authenticator struct{ app *App }

// Authenticator returns the app's.
func (a *App) Authenticator() Authenticator { return Authenticator{a} }

// Scope implements [web.Authenticator]. A token is taken as a bearer token, or
// as the password of basic authentication, so that a browser can ask for it.
// Without one, the person at the keyboard is trusted on loopback while no token
// that may read has been made; everybody else is the public.
func (x Authenticator) Scope(r *http.Request) (policy.Scope, error) {
	if r.Context().Value(localKey{}) != nil {
		return policy.Local(), nil
	}
	now := x.app.clock()
	if h := r.Header.Get("Authorization"); h != "" {
		secret, ok := strings.CutPrefix(h, "Bearer ")
		if !ok {
			if _, secret, ok = r.BasicAuth(); !ok {
				return policy.Scope{}, fmt.Errorf("%w: send Authorization: Bearer and the token", web.ErrUnauthorised)
			}
		}
		t, s, err := x.app.reg.Authenticate(strings.TrimSpace(secret), now)
		if err != nil {
			return policy.Scope{}, errors.Join(web.ErrUnauthorised, err)
		}
		x.app.used.Store(t.ID, now)
		return s, nil
	}
	if x.app.reg.Readers(now) || !loopback(r) {
		return policy.Scope{}, nil
	}
	return policy.Local(), nil
}

// loopback reports whether a request comes from this machine and was made for
// it: one that a proxy passes on comes from somebody else.
func loopback(r *http.Request) bool {
	for _, h := range []string{"Forwarded", "X-Forwarded-For", "X-Real-Ip", "Via"} {
		if r.Header.Get(h) != "" {
			return false
		}
	}
	peer, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil || !peer.Addr().Unmap().IsLoopback() {
		return false
	}
	host := r.Host
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	if host == "localhost" {
		return true
	}
	a, err := netip.ParseAddr(strings.Trim(host, "[]"))
	return err == nil && a.IsLoopback()
}

// Listenable returns an error if it is not safe to listen on addr: elsewhere
// than on loopback only once a token that may read exists.
func (a *App) Listenable(addr string) error {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return fmt.Errorf("listen on %q: want HOST:PORT", addr)
	}
	if host == "localhost" {
		return nil
	}
	if ip, err := netip.ParseAddr(host); err == nil && ip.IsLoopback() {
		return nil
	}
	if a.reg.Readers(a.clock()) {
		return nil
	}
	return fmt.Errorf("listening on %s would let anybody in: make a token first (tocsin tokens create --name NAME --role admin --read), or listen on 127.0.0.1", addr)
}
