// Command docs writes the pages of docs/ that come from tables in the code:
// `go run ./internal/docs` at the top of the repository. It takes no input.
package main

import (
	"bytes"
	"fmt"
	"io"
	"os"

	"tocsin/internal/decode"
	"tocsin/internal/figure"
)

// pages names what writes each page.
var pages = []struct {
	path  string
	write func(io.Writer) error
}{
	{"docs/formats.md", decode.WriteFormats},
	{"docs/metrics.md", figure.WriteDocs},
}

func main() {
	for _, p := range pages {
		var b bytes.Buffer
		err := p.write(&b)
		if err == nil {
			err = os.WriteFile(p.path, b.Bytes(), 0o644) //nolint:gosec // a page for everyone to read
		}
		if err != nil {
			fmt.Fprintf(os.Stderr, "write %s: %v\n", p.path, err)
			os.Exit(1)
		}
	}
}
