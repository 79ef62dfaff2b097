package archive

import (
	"bytes"
	"cmp"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"slices"
)

// DamageKind says what is wrong.
type DamageKind string

// The kinds of damage.
const (
	Damaged     DamageKind = "damaged"     // bytes are not what was written
	Missing     DamageKind = "missing"     // what the journal or a number speaks of is gone
	Unmentioned DamageKind = "unmentioned" // a content that no line names: harmless, left by a crash between content and journal
)

// Affected is a journal line whose content is damaged or missing.
type Affected struct {
	Line uint64 `json:"line"` // its sequence; that of a delivery is its id
	Kind Kind   `json:"kind"`
	Feed string `json:"feed,omitzero"`
	Name string `json:"name,omitzero"` // the delivery's file name
}

// Damage is one place that is not as it was written.
type Damage struct {
	Kind      DamageKind `json:"kind"`
	File      string     `json:"file,omitzero"` // below the archive's directory
	Offset    int64      `json:"offset"`        // in the file
	Length    int64      `json:"length"`        // bytes concerned; 0: not known, or the whole file
	SHA256    string     `json:"sha256,omitzero"`
	FirstLine uint64     `json:"first_line,omitzero"` // journal lines concerned
	LastLine  uint64     `json:"last_line,omitzero"`
	Reason    string     `json:"reason"`
	Healed    bool       `json:"healed,omitzero"` // nothing is lost: it has been made again, or another copy is whole
	Lines     []Affected `json:"lines,omitzero"`  // at most maxAffected
	More      int64      `json:"more,omitzero"`   // lines beyond those
}

// maxAffected bounds the lines named for one place.
const maxAffected = 1000

// String says it in one line.
func (d Damage) String() string {
	s := fmt.Sprintf("%s: %s", d.Kind, d.Reason)
	if d.File != "" {
		s += fmt.Sprintf(" (%s, %d bytes at %d)", d.File, d.Length, d.Offset)
	}
	if d.SHA256 != "" {
		s += ", content " + d.SHA256
	}
	if d.LastLine > 0 {
		s += fmt.Sprintf(", lines %d to %d", d.FirstLine, d.LastLine)
	}
	return s
}

func (d Damage) attrs() []any {
	return []any{
		slog.String("kind", string(d.Kind)), slog.String("file", d.File), slog.Int64("offset", d.Offset), slog.Int64("length", d.Length),
		slog.String("sha256", d.SHA256), slog.Uint64("first_line", d.FirstLine), slog.Uint64("last_line", d.LastLine), slog.String("reason", d.Reason),
	}
}

// touch adds a line that the damage concerns.
func (d *Damage) touch(l *Line) {
	if len(d.Lines) >= maxAffected {
		d.More++
		return
	}
	a := Affected{Line: l.Seq, Kind: l.Kind}
	if l.Delivery != nil {
		a.Feed, a.Name = l.Delivery.Feed, l.Delivery.Name
	}
	d.Lines = append(d.Lines, a)
}

// DamageError is the error of one damaged place. It wraps [ErrDamaged].
type DamageError struct{ Damage Damage }

// Error implements [error].
func (e *DamageError) Error() string { return "archive " + e.Damage.String() }

// Unwrap returns [ErrDamaged].
func (e *DamageError) Unwrap() error { return ErrDamaged }

// Summary says what [Archive.Verify] has read.
type Summary struct {
	Contents    int64 `json:"contents"`     // whole ones
	Bytes       int64 `json:"bytes"`        // of those, as received
	StoredBytes int64 `json:"stored_bytes"` // of the files
	Files       int64 `json:"files"`
	Lines       int64 `json:"lines"`       // of the journal
	Damaged     int64 `json:"damaged"`     // places, those healed not counted
	Missing     int64 `json:"missing"`     // likewise
	Unmentioned int64 `json:"unmentioned"` // contents that no line names
}

// Whole reports whether nothing was damaged or missing.
func (s Summary) Whole() bool { return s.Damaged == 0 && s.Missing == 0 }

// Verify reads every file from disk, unpacks and hashes every content, checks
// every journal line and the chain, and looks up every content that a line
// names. It calls report for each damaged or missing place, with the lines
// that are concerned, and progress with bytes read and to be read; either may
// be nil. It changes nothing and may run beside other work; what is stored
// while it runs may or may not be looked at. The error is ctx's or that of a
// directory that cannot be listed; what is damaged is no error.
func (a *Archive) Verify(ctx context.Context, progress func(done, total int64), report func(Damage)) (Summary, error) {
	v := &verifier{a: a, ctx: ctx, progress: progress, report: report, blobs: map[[32]byte]bool{}, broken: map[[32]byte][]*Damage{}}
	if progress == nil {
		v.progress = func(int64, int64) {}
	}
	if report == nil {
		v.report = func(Damage) {}
	}
	for _, f := range []func() error{v.plan, v.readPacks, v.readBlobs, v.readJournal, v.unmentioned} {
		if err := f(); err != nil {
			return v.sum, fmt.Errorf("verify archive: %w", err)
		}
	}
	for _, d := range v.found {
		v.say(*d)
	}
	for _, d := range a.Damage() {
		if d.Healed {
			v.say(d)
		}
	}
	return v.sum, nil
}

// verifier is one run of Verify.
type verifier struct {
	a        *Archive
	ctx      context.Context
	progress func(done, total int64)
	report   func(Damage)

	sum         Summary
	done, total int64
	pos         position
	head        head
	headThere   bool
	names       []string // of blobs, below the archive's directory

	idx    index                  // whole contents in packs, as found now
	blobs  map[[32]byte]bool      // whole blobs; true: a line names it
	broken map[[32]byte][]*Damage // damaged or missing contents
	found  []*Damage              // in order of finding
	file   File                   // of the pack looked at last
	pack   uint32                 // its number
}

// mentioned is set in the index at places that a line names.
const mentioned loc = 1 << 63

func (v *verifier) say(d Damage) {
	switch {
	case d.Kind == Unmentioned:
		v.sum.Unmentioned++
	case d.Healed:
	case d.Kind == Missing:
		v.sum.Missing++
	default:
		v.sum.Damaged++
	}
	v.report(d)
}

// add notes damage, of a content if sha is not nil.
func (v *verifier) add(d Damage, sha *[32]byte) {
	if sha != nil {
		d.SHA256 = fmt.Sprintf("%x", *sha)
		v.broken[*sha] = append(v.broken[*sha], &d)
	}
	v.found = append(v.found, &d)
}

func (v *verifier) step(n int64) error {
	v.done += n
	v.progress(min(v.done, v.total), v.total)
	return v.ctx.Err()
}

// plan lists what is to be read.
func (v *verifier) plan() error {
	if err := v.readHead(); err != nil {
		return err
	}
	v.pos = v.a.packs.position()
	for n := uint32(1); n <= v.pos.Pack; n++ {
		if st, err := v.a.dep.FS.Stat(v.a.path(packName(n))); err == nil {
			v.total += st.Size()
		}
	}
	dirs, err := v.a.dep.FS.ReadDir(v.a.path(dirBlobs))
	if err != nil {
		return err
	}
	for _, d := range dirs {
		es, err := v.a.dep.FS.ReadDir(v.a.path(dirBlobs, d.Name()))
		if err != nil {
			v.add(Damage{Kind: Damaged, File: dirBlobs + "/" + d.Name(), Reason: err.Error()}, nil)
			continue
		}
		for _, e := range es {
			v.names = append(v.names, dirBlobs+"/"+d.Name()+"/"+e.Name())
			if st, err := e.Info(); err == nil {
				v.total += st.Size()
			}
		}
	}
	segs, _, _ := v.a.journal.snapshot()
	for _, s := range segs {
		v.total += s.size
	}
	return v.step(0)
}

// readHead reads the head before anything else, so that it cannot speak of
// lines that are written later.
func (v *verifier) readHead() error {
	f, size, err := v.a.open(headName)
	if errors.Is(err, fs.ErrNotExist) {
		v.add(Damage{Kind: Missing, File: headName, Reason: "the journal's head is gone"}, nil)
		return nil
	}
	if err != nil {
		return err
	}
	defer closeRead(f)
	b := make([]byte, min(size, 4096))
	if _, err := f.ReadAt(b, 0); ignoreEOF(err) != nil {
		return err
	}
	v.sum.Files++
	if v.head, v.headThere = parseHead(b); !v.headThere {
		v.add(Damage{Kind: Damaged, File: headName, Length: size, Reason: "the journal's head cannot be read"}, nil)
	}
	return nil
}

func (v *verifier) readPacks() error {
	for n := uint32(1); n <= v.pos.Pack; n++ {
		if err := v.readPack(n); err != nil {
			if v.ctx.Err() != nil {
				return v.ctx.Err()
			}
			v.add(Damage{Kind: Damaged, File: packName(n), Reason: err.Error()}, nil)
		}
	}
	return nil
}

// readPack reads one pack to its end. An error is one of reading.
func (v *verifier) readPack(n uint32) error {
	name := packName(n)
	f, size, err := v.a.open(name)
	if errors.Is(err, fs.ErrNotExist) {
		v.add(Damage{Kind: Missing, File: name, Reason: "the pack is gone"}, nil)
		return nil
	}
	if err != nil {
		return err
	}
	defer closeRead(f)
	v.sum.Files++
	bad := func(from, to int64, why string) {
		v.add(Damage{Kind: Damaged, File: name, Offset: from, Length: to - from, Reason: why}, nil)
	}
	newest := n == v.pos.Pack
	if newest {
		if size < v.pos.Size {
			bad(size, v.pos.Size, "the pack has been cut short")
		}
		size = min(size, v.pos.Size)
	}
	v.sum.StoredBytes += size
	if size == 0 && newest {
		return nil
	}
	if ok, err := checkPackHeader(f, n); err != nil {
		return err
	} else if !ok {
		bad(0, packHeader, "the pack's header is damaged")
	}
	listed, isSealed, err := readIndex(f, size)
	if err != nil {
		return err
	}
	if !isSealed && !newest {
		bad(max(0, size-sealSize), size, "the pack does not end with its index")
	}
	var entries []entry
	err = walkPack(f, packHeader, size, func(off int64, h header) error {
		if h.codec == codecIndex {
			return v.step(h.size())
		}
		entries = append(entries, entry{[8]byte(h.sha[:8]), uint32(off)}) //nolint:gosec // a pack is below 2^32 bytes
		if why, err := v.payload(f, off, h); err != nil {
			return err
		} else if why != "" {
			v.add(Damage{Kind: Damaged, File: name, Offset: off, Length: h.size(), Reason: why}, &h.sha)
		} else {
			v.idx.add(h.sha[:], place(n, off))
			v.sum.Contents++
			v.sum.Bytes += h.raw
		}
		return v.step(h.size())
	}, func(from, to int64) { bad(from, to, "no frame can be read there") })
	if err != nil {
		return err
	}
	if isSealed && !slices.Equal(listed, entries) {
		bad(max(0, size-sealSize), size, "the pack's index does not list what is in it")
	}
	return nil
}

// payload reads a payload, unpacks it and hashes it; it says what is wrong
// with it, "" if nothing.
func (v *verifier) payload(f File, off int64, h header) (why string, err error) {
	var tail [frameTail]byte
	if h.raw <= smallContent && h.stored <= smallContent {
		b := make([]byte, h.stored+frameTail)
		if _, err := f.ReadAt(b, off+frameHeader); err != nil && !errors.Is(err, io.EOF) {
			return "", err
		}
		p := b[:h.stored]
		if crc := finishCRC(crc32.Checksum(p, castagnoli)); !bytes.Equal(b[h.stored:], crc[:]) {
			return "the payload is damaged", nil
		}
		if _, err := v.a.small(bytes.NewReader(p), h); err != nil {
			return err.Error(), nil
		}
		return "", nil
	}
	crc := crc32.New(castagnoli)
	c, err := v.a.stream(io.TeeReader(io.NewSectionReader(f, off+frameHeader, h.stored), crc), h)
	if err != nil {
		return err.Error(), nil
	}
	defer closeRead(c)
	if _, err := io.Copy(io.Discard, ctxReader{v.ctx, c}); err != nil {
		if v.ctx.Err() != nil {
			return "", v.ctx.Err()
		}
		return err.Error(), nil
	}
	if _, err := f.ReadAt(tail[:], off+frameHeader+h.stored); err != nil && !errors.Is(err, io.EOF) {
		return "", err
	}
	if tail != finishCRC(crc.Sum32()) {
		return "the payload's checksum is damaged", nil
	}
	return "", nil
}

// finishCRC writes a checksum as it stands behind a payload.
func finishCRC(s uint32) [frameTail]byte {
	return [frameTail]byte{byte(s), byte(s >> 8), byte(s >> 16), byte(s >> 24)} //nolint:gosec // cut on purpose
}

// ctxReader stops reading when ctx ends.
type ctxReader struct {
	ctx context.Context
	r   io.Reader
}

func (r ctxReader) Read(p []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	return r.r.Read(p)
}

func (v *verifier) readBlobs() error {
	for _, name := range v.names {
		if err := v.readBlob(name); err != nil {
			if v.ctx.Err() != nil {
				return v.ctx.Err()
			}
			v.add(Damage{Kind: Damaged, File: name, Reason: err.Error()}, nil)
		}
	}
	return nil
}

func (v *verifier) readBlob(name string) error {
	sha, ok := parseSHA(name[max(0, len(name)-64):])
	if !ok || blobName(&sha) != name {
		v.add(Damage{Kind: Damaged, File: name, Reason: "the file does not belong there"}, nil)
		return nil
	}
	f, size, err := v.a.open(name)
	if errors.Is(err, os.ErrNotExist) {
		return nil // if a line names it, it is missing
	}
	if err != nil {
		return err
	}
	defer closeRead(f)
	v.sum.Files++
	v.sum.StoredBytes += size
	h, err := readHeader(f, 0)
	if err != nil && !errors.Is(err, errHeader) {
		return err
	}
	why := "the header does not fit the file"
	if err == nil && h.sha == sha && h.size() == size {
		if why, err = v.payload(f, 0, h); err != nil {
			return err
		}
	}
	if why != "" {
		v.add(Damage{Kind: Damaged, File: name, Length: size, Reason: why}, &sha)
		return v.step(size)
	}
	v.blobs[sha] = false
	v.sum.Contents++
	v.sum.Bytes += h.raw
	return v.step(size)
}

// whole reports whether a whole copy of the content was found, and marks it as
// named by a line.
func (v *verifier) whole(sha *[32]byte) (found bool) {
	v.idx.each(sha, func(l *loc) bool {
		h, err := v.header(*l &^ mentioned)
		if err == nil && h.sha == *sha {
			*l |= mentioned
			found = true
		}
		return true
	})
	if _, ok := v.blobs[*sha]; ok {
		v.blobs[*sha] = true
		found = true
	}
	return found
}

// header reads the header at a place; lines name contents in about the order
// in which they are stored, so one open file serves many.
func (v *verifier) header(l loc) (header, error) {
	if v.pack != l.pack() {
		v.closeFile()
		f, _, err := v.a.open(packName(l.pack()))
		if err != nil {
			return header{}, err
		}
		v.file, v.pack = f, l.pack()
	}
	return readHeader(v.file, l.off())
}

func (v *verifier) closeFile() {
	if v.file != nil {
		_ = v.file.Close() // read only
		v.file, v.pack = nil, 0
	}
}

func (v *verifier) readJournal() error {
	defer v.closeFile()
	segs, last, hash := v.a.journal.snapshot()
	for _, s := range segs {
		v.sum.Files++
		v.sum.StoredBytes += s.size
	}
	bad := func(d Damage) { v.add(d, nil) }
	if v.headThere && v.head.Seq > last {
		v.add(Damage{Kind: Missing, File: dirJournal, FirstLine: last + 1, LastLine: v.head.Seq, Reason: "the head names a line that is gone"}, nil)
	}
	err := v.a.walkLines(v.ctx, segs, 1, last, func(l *walked) error {
		v.sum.Lines++
		if l.seq == v.head.Seq && string(l.hash[:]) != v.head.Hash || l.seq == last && string(l.hash[:]) != hash {
			bad(Damage{Kind: Damaged, File: dirJournal, Offset: l.off, Length: int64(len(l.raw)), FirstLine: l.seq, LastLine: l.seq, Reason: "the line is not the one that was written"})
		}
		var line Line
		if err := json.Unmarshal(l.raw, &line); err != nil {
			bad(Damage{Kind: Damaged, File: dirJournal, Offset: l.off, Length: int64(len(l.raw)), FirstLine: l.seq, LastLine: l.seq, Reason: err.Error()})
			return v.step(int64(len(l.raw)) + 1)
		}
		for _, c := range line.contents() {
			v.need(c, &line)
		}
		return v.step(int64(len(l.raw)) + 1)
	}, func(d Damage) error { bad(d); return v.ctx.Err() })
	if err != nil {
		if v.ctx.Err() != nil {
			return v.ctx.Err()
		}
		v.add(Damage{Kind: Damaged, File: dirJournal, Reason: err.Error()}, nil)
	}
	return nil
}

// need looks up a content that a line names.
func (v *verifier) need(c string, l *Line) {
	sha, ok := parseSHA(c)
	if !ok {
		v.add(Damage{Kind: Missing, SHA256: c, FirstLine: l.Seq, LastLine: l.Seq, Reason: "the line names no SHA-256"}, nil)
		return
	}
	found := v.whole(&sha)
	if !found && len(v.broken[sha]) == 0 {
		// It may have been put after the packs were read.
		if pos := v.a.packs.position(); pos != v.pos && v.a.hasWhole(&sha) {
			return
		}
		v.add(Damage{Kind: Missing, Reason: "the content is gone"}, &sha)
	}
	for _, d := range v.broken[sha] {
		d.touch(l)
		d.Healed = found
	}
}

// unmentioned reports contents that no line names.
func (v *verifier) unmentioned() error {
	defer v.closeFile()
	for i := range v.idx.tables {
		for _, l := range v.idx.tables[i].locs {
			if l == 0 || l&mentioned != 0 {
				continue
			}
			if h, err := v.header(l); err == nil {
				v.add(Damage{Kind: Unmentioned, File: packName(l.pack()), Offset: l.off(), Length: h.size(), SHA256: fmt.Sprintf("%x", h.sha), Reason: "no journal line names the content"}, nil)
			}
		}
	}
	for _, sha := range slices.SortedFunc(maps.Keys(v.blobs), func(a, b [32]byte) int { return cmp.Compare(string(a[:]), string(b[:])) }) {
		if !v.blobs[sha] {
			v.add(Damage{Kind: Unmentioned, File: blobName(&sha), SHA256: hex.EncodeToString(sha[:]), Reason: "no journal line names the content"}, nil)
		}
	}
	return v.ctx.Err()
}
