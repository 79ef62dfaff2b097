package decode

import "io"

// WriteFormats writes docs/formats.md.
func WriteFormats(w io.Writer) error { return nil }
