// Package intake brings bytes into the program: files of watched folders and
// bodies that others hand to it. It takes readers and names and gives
// deliveries to a [Sink], which archives and acks them.
//
// [Service] is the one door: it checks the feed's name, tidies the file's
// name, finds the format, bounds size and number. [Folder] watches
// INBOX/FEED/ and hands each file that is whole to a Sink.
//
// It knows no format and never looks into the bytes, keeps nothing that it
// could lose, and opens nothing outside the folder that it watches. What it has
// handed over but could not put away before a crash it hands over again: the
// archive stores the same bytes once, and their rows count as duplicates.
package intake

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode"
	"unicode/utf8"
)

// The decisions that a caller takes on an error of a [Sink]. An error that
// wraps none of them concerns this one delivery and may pass: the bytes are
// offered again later.
var (
	// ErrRefused says that these bytes will not be taken however often they
	// are offered: the text says why and what to change.
	ErrRefused = errors.New("refused")
	// ErrUnavailable says that nothing can be acked at present, such as with a
	// full disk: offer no other bytes for some seconds.
	ErrUnavailable = errors.New("nothing can be acked at present")
	// ErrBusy says that too many deliveries are being taken at this moment,
	// of this feed or in all: come again soon.
	ErrBusy = errors.New("too many deliveries at once")
)

// Request is one delivery on its way in.
type Request struct {
	Feed   string    // as in [CheckFeed]
	Format string    // "" for the feed's own, or what the name says
	Name   string    // file name as it came; "" if it has none
	By     string    // who brings it: a user, a token, "folder"
	Body   io.Reader // the bytes as they came; not closed
}

// Receipt says that a delivery is safe.
type Receipt struct {
	ID     string // the delivery's
	SHA256 string // of the bytes as they came, 64 hexadecimal digits
}

// Sink takes deliveries. When Ingest returns without error the bytes and
// their journal line are on the disk. It reads Body to its end or returns an
// error, wraps what Body returned, and may be called at the same time from
// many goroutines.
type Sink interface {
	Ingest(ctx context.Context, r Request) (Receipt, error)
}

// MaxFeedName is how long a feed's name may be, in bytes.
const MaxFeedName = 64

// CheckFeed returns an error unless name can be a feed's: 1 to 64 letters
// (a-z, A-Z), digits, dots, hyphens and underscores, the first a letter or a
// digit. Such a name is safe as a folder, in a URL and in a log.
func CheckFeed(name string) error {
	ok := name != "" && len(name) <= MaxFeedName
	for i, c := range []byte(name) {
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9':
		case i > 0 && (c == '.' || c == '-' || c == '_'):
		default:
			ok = false
		}
	}
	if !ok {
		return fmt.Errorf("%w: feed name %q: use 1 to %d letters, digits, dots, hyphens and underscores, and begin with a letter or digit", ErrRefused, cut(name, MaxFeedName), MaxFeedName)
	}
	return nil
}

// maxName bounds a file's name, in bytes, as file systems do.
const maxName = 255

// CleanName gives the last element of a file's name as it came, with
// characters that are not printable (controls, direction marks, broken UTF-8)
// replaced by "_", and cut to 255 bytes so that its ending, which may tell the
// format, is kept.
func CleanName(name string) string {
	if i := strings.LastIndexAny(name, `/\`); i >= 0 {
		name = name[i+1:]
	}
	name = printable(name)
	if len(name) <= maxName {
		return name
	}
	tail := name[len(name)-maxName:]
	for !utf8.RuneStart(tail[0]) {
		tail = tail[1:]
	}
	return tail
}

// printable replaces what must not reach a terminal or confuse a reader.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r == utf8.RuneError || !unicode.IsPrint(r) {
			return '_'
		}
		return r
	}, s)
}

// cut returns at most the first n bytes of s, whole characters only.
func cut(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}
