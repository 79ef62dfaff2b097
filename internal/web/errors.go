package web

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strings"

	"tocsin/internal/figure"
	"tocsin/internal/query"
)

// Problem is the body of an answer that went wrong (RFC 9457).
type Problem struct {
	Type   string `json:"type"` // "about:blank": the status says it all
	Title  string `json:"title"`
	Detail string `json:"detail"` // what to do
	Status int    `json:"status"`
}

// Error makes a problem that a client received an error of its own.
func (p Problem) Error() string {
	if p.Detail == "" {
		return p.Title
	}
	return p.Detail
}

// problems says which status is due, in the order in which errors are looked
// at; the detail stands in where the error has nothing to add.
var problems = []struct {
	is     error
	status int
	detail string
}{
	{query.ErrNotFound, http.StatusNotFound, "There is nothing at this address, or nothing that you may see."},
	{ErrUnauthorised, http.StatusUnauthorized, "Send a valid token: Authorization: Bearer tsn_…; an admin makes one with `tocsin tokens create`."},
	{ErrForbidden, http.StatusForbidden, "Your token does not allow this; ask an admin for one that does."},
	{ErrTooLarge, http.StatusRequestEntityTooLarge, "Send it in smaller parts, or raise the limit."},
	{ErrBusy, http.StatusTooManyRequests, "Wait a moment and send it again."},
	{ErrFull, http.StatusInsufficientStorage, "The disk is full: nothing was taken. Make room; sending it again then works without a restart."},
	{ErrUnavailable, http.StatusServiceUnavailable, "Nothing was taken. Send it again later."},
	{ErrConflict, http.StatusConflict, "This is not possible now."},
	{figure.ErrBreakdown, http.StatusBadRequest, "Choose one of the breakdowns of the figure."},
	{ErrBadRequest, http.StatusBadRequest, "The request cannot be read."},
	{context.DeadlineExceeded, http.StatusServiceUnavailable, "It took too long and was stopped. Ask for a shorter period or fewer rows."},
}

// problemOf turns an error into what the asker is told. The text of an error
// that is nobody's fault but ours stays in the log.
func problemOf(err error) Problem {
	if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
		err = ErrTooLarge
	}
	for _, p := range problems {
		if !errors.Is(err, p.is) {
			continue
		}
		detail := err.Error()
		switch {
		case errors.Is(p.is, query.ErrNotFound), errors.Is(p.is, context.DeadlineExceeded):
			detail = p.detail // the same for absent and for not yours
		case detail == p.is.Error():
			detail = p.detail
		default:
			if _, rest, ok := strings.Cut(detail, p.is.Error()+": "); ok {
				detail = rest // what was tried is known to the asker
			}
		}
		return Problem{"about:blank", http.StatusText(p.status), detail, p.status}
	}
	return Problem{
		"about:blank", http.StatusText(http.StatusInternalServerError),
		"Something went wrong here; the log of the server says what. Trying again may help.", http.StatusInternalServerError,
	}
}

func writeProblem(w http.ResponseWriter, p Problem) {
	w.Header().Set("Content-Type", "application/problem+json")
	problemHeaders(w, p)
	w.WriteHeader(p.Status)
	b, err := json.Marshal(p)
	if err != nil {
		return
	}
	_, _ = w.Write(append(b, '\n')) // the client is gone: nothing to tell it
}

func problemHeaders(w http.ResponseWriter, p Problem) {
	switch p.Status {
	case http.StatusUnauthorized:
		w.Header().Set("WWW-Authenticate", `Bearer realm="tocsin"`)
	case http.StatusTooManyRequests, http.StatusServiceUnavailable, http.StatusInsufficientStorage:
		w.Header().Set("Retry-After", "5")
	}
}
