package archive

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"hash/crc32"
	"io"
	"path/filepath"
	"sync/atomic"

	"github.com/klauspost/compress/zstd"
)

// Content names bytes that are stored.
type Content struct {
	SHA256 string // of the bytes as received, 64 hexadecimal digits
	Size   int64  // bytes as received
	New    bool   // false: the same bytes had been stored before
}

// Put stores what r gives, up to its end. When Put returns nil, the content is
// on disk and will survive a power cut; the same bytes are stored once. A body
// of more than limit bytes gives [ErrTooLarge]; limit 0 means any size. An
// error of r is returned as it is; one of the disk wraps [ErrUnavailable].
// A body larger than Config.SpoolSize waits on disk, so that memory does not
// grow with it. ctx is looked at while reading.
func (a *Archive) Put(ctx context.Context, r io.Reader, limit int64) (Content, error) {
	if err := a.ready(); err != nil {
		return Content{}, err
	}
	b := body{a: a}
	defer b.drop()
	if err := b.fill(ctx, r, limit); err != nil {
		if errors.Is(err, ErrUnavailable) {
			return Content{}, a.noted(halfContents, err)
		}
		return Content{}, err
	}
	return b.keep()
}

// PutBytes is Put for a body that is in memory. It does not keep p.
func (a *Archive) PutBytes(p []byte) (Content, error) {
	if err := a.ready(); err != nil {
		return Content{}, err
	}
	b := body{a: a, raw: p, size: int64(len(p)), sha: sha256.Sum256(p)}
	return b.keep()
}

// keep stores a body that has been received, unless it is stored.
func (b *body) keep() (Content, error) {
	a := b.a
	if a.closed.Load() {
		return Content{}, ErrClosed
	}
	c := Content{SHA256: hex.EncodeToString(b.sha[:]), Size: b.size}
	if a.hasWhole(&b.sha) {
		// A blob may have been renamed by a process that was killed before the
		// directory was synced; what a pack's index names is durable.
		if err := a.blobs.settle(&b.sha); err == nil {
			return c, nil
		}
	}
	c.New = true
	if err := a.noted(halfContents, b.store()); err != nil {
		return Content{}, fmt.Errorf("store content %s: %w", c.SHA256, err)
	}
	return c, nil
}

// body is one body while it is received and stored.
type body struct {
	a    *Archive
	size int64
	sha  [32]byte

	raw  []byte  // the body, where it is in memory
	buf  *[]byte // frameHeader bytes kept free, then the body, or a part of it
	held int64   // what it counts for in Archive.held
	hash hash.Hash
	f    File // the spool: frameHeader bytes kept free, then the body; nil: in memory
	name string
}

const (
	firstBuffer = 64 << 10  // of a body: a thousand slow senders hold 64 MB
	chunk       = 256 << 10 // of other work with files
)

// fill reads the body to its end and finds its hash.
func (b *body) fill(ctx context.Context, r io.Reader, limit int64) error {
	b.grow(firstBuffer)
	n := frameHeader // bytes used in the buffer
	for {
		if n == len(*b.buf) {
			if err := b.makeRoom(&n); err != nil {
				return err
			}
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		m, err := r.Read((*b.buf)[n:])
		n += m
		b.size += int64(m)
		switch {
		case limit > 0 && b.size > limit:
			return fmt.Errorf("%w: more than %d bytes", ErrTooLarge, limit)
		case errors.Is(err, io.EOF):
			return b.end(n)
		case err != nil:
			return err
		}
	}
}

// makeRoom lets reading go on: in a larger buffer, or with what was read on disk.
func (b *body) makeRoom(n *int) error {
	if b.f == nil {
		want := 2 * len(*b.buf)
		if int64(want) <= 2*b.a.cfg.SpoolSize && b.size < b.a.cfg.SpoolSize && b.a.held.Load()+int64(want) <= b.a.cfg.SpoolTotal {
			b.grow(want)
			return nil
		}
		f, name, err := b.a.temp()
		if err != nil {
			return fmt.Errorf("%w: %w", ErrUnavailable, err)
		}
		b.f, b.name, b.hash = f, name, sha256.New()
	} else if err := b.a.ready(); err != nil { // while a large body comes in, the disk may fill
		return err
	}
	if err := b.spill(*n); err != nil {
		return err
	}
	*n = frameHeader
	return nil
}

// spill writes the n-frameHeader bytes of the buffer to the spool.
func (b *body) spill(n int) error {
	p := (*b.buf)[frameHeader:n]
	b.hash.Write(p)
	if _, err := b.f.WriteAt(p, frameHeader+b.size-int64(len(p))); err != nil {
		return fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	return nil
}

// end has n bytes of the buffer used and the body complete.
func (b *body) end(n int) error {
	if b.f == nil {
		b.raw = (*b.buf)[frameHeader:n]
		b.sha = sha256.Sum256(b.raw)
		return nil
	}
	if err := b.spill(n); err != nil {
		return err
	}
	b.sha = [32]byte(b.hash.Sum(nil))
	return nil
}

// grow makes the buffer at least n bytes long and keeps what is in it.
func (b *body) grow(n int) {
	nb, _ := b.a.buffers.Get().(*[]byte)
	if nb == nil || cap(*nb) < n {
		s := make([]byte, n)
		nb = &s
	}
	*nb = (*nb)[:cap(*nb)]
	if b.buf != nil {
		copy(*nb, *b.buf)
		b.a.buffers.Put(b.buf)
	}
	b.buf = nb
	b.hold(int64(len(*nb)))
}

func (b *body) hold(n int64) {
	b.a.held.Add(n - b.held)
	b.held = n
}

// drop gives back what the body holds.
func (b *body) drop() {
	b.hold(0)
	if b.buf != nil {
		b.a.buffers.Put(b.buf)
		b.buf = nil
	}
	b.discard(b.f, b.name)
	b.f = nil
}

// discard closes and removes a temporary file; what is left of it goes when
// the archive is opened next.
func (b *body) discard(f File, name string) {
	if f != nil {
		_ = f.Close()
		_ = b.a.dep.FS.Remove(name)
	}
}

// packed reports whether the bytes begin as a gzip or zstd stream: compressing
// them again costs time and saves nothing.
func packed(p []byte) bool {
	return bytes.HasPrefix(p, []byte("\x1f\x8b\x08")) || bytes.HasPrefix(p, []byte("\x28\xb5\x2f\xfd"))
}

// store makes the body durable, in a pack or in a file of its own.
func (b *body) store() error {
	if b.f != nil {
		return b.storeSpooled()
	}
	h := header{codec: codecZstd, sha: b.sha, raw: b.size}
	out, _ := b.a.buffers.Get().(*[]byte)
	if out == nil || cap(*out) < chunk {
		out = new(make([]byte, 0, chunk))
	}
	defer b.a.buffers.Put(out)
	*out = (*out)[:frameHeader]
	if !packed(b.raw) && len(b.raw) > 0 {
		enc, err := b.a.encoder()
		if err != nil {
			return err
		}
		*out = enc.EncodeAll(b.raw, *out)
		b.a.encoders <- enc
	}
	if n := len(*out) - frameHeader; n == 0 || n >= len(b.raw) {
		h.codec = codecRaw
		*out = append((*out)[:frameHeader], b.raw...)
	}
	h.stored = int64(len(*out) - frameHeader)
	return b.place(h, *out)
}

// place stores a whole body; frame has frameHeader bytes free and the payload.
func (b *body) place(h header, frame []byte) error {
	frame = finishFrame(frame, h)
	if h.stored <= b.a.cfg.BlobSize {
		return b.a.packs.store(&newFrame{h: h, b: frame})
	}
	f, name, err := b.a.temp()
	if err != nil {
		return err
	}
	if _, err := f.WriteAt(frame, 0); err != nil {
		b.discard(f, name)
		return fmt.Errorf("write blob: %w", err)
	}
	return b.a.blobs.place(f, name, &b.sha)
}

// storeSpooled stores a body that waits on disk.
func (b *body) storeSpooled() error {
	var magic [4]byte
	if _, err := b.f.ReadAt(magic[:], frameHeader); err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	h := header{codec: codecRaw, sha: b.sha, raw: b.size, stored: b.size}
	if packed(magic[:]) {
		return b.placeFile(h, &b.f, b.name)
	}
	f, name, err := b.a.temp()
	if err != nil {
		return err
	}
	n, err := b.compress(f)
	if err != nil || n >= b.size {
		b.discard(f, name)
		if err != nil {
			return err
		}
		return b.placeFile(h, &b.f, b.name)
	}
	h.codec, h.stored = codecZstd, n
	if n > b.a.cfg.BlobSize {
		return b.placeFile(h, &f, name)
	}
	frame := make([]byte, frameHeader+n, frameHeader+n+frameTail)
	_, err = f.ReadAt(frame[frameHeader:], frameHeader)
	b.discard(f, name)
	if err != nil {
		return err
	}
	return b.place(h, frame)
}

// compress writes the spooled body, compressed, to f behind room for a header,
// and returns its length.
func (b *body) compress(f File) (n int64, err error) {
	w := bufio.NewWriterSize(&offsetWriter{f, frameHeader}, chunk)
	cw := &countWriter{w: w}
	enc, err := b.a.encoder()
	if err != nil {
		return 0, err
	}
	enc.Reset(cw)
	_, err = io.Copy(enc, io.NewSectionReader(b.f, frameHeader, b.size))
	err = errors.Join(err, enc.Close())
	enc.Reset(nil)
	b.a.encoders <- enc
	return cw.n, errors.Join(err, w.Flush())
}

// placeFile ends a temporary file that holds a payload and makes it a blob. It
// takes the file over.
func (b *body) placeFile(h header, fp *File, name string) error {
	f := *fp
	*fp = nil
	crc := crc32.New(castagnoli)
	_, err := io.Copy(crc, io.NewSectionReader(f, frameHeader, h.stored))
	if err == nil {
		var hb [frameHeader]byte
		h.put(hb[:])
		_, err = f.WriteAt(hb[:], 0)
	}
	if err == nil {
		_, err = f.WriteAt(binary.LittleEndian.AppendUint32(nil, crc.Sum32()), frameHeader+h.stored)
	}
	if err != nil {
		b.discard(f, name)
		return fmt.Errorf("write blob: %w", err)
	}
	return b.a.blobs.place(f, name, &b.sha)
}

// encoder waits for one of the encoders, of which there is one for each
// processor; the caller sends it back.
func (a *Archive) encoder() (*zstd.Encoder, error) {
	enc := <-a.encoders
	if enc != nil {
		return enc, nil
	}
	enc, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1),
		zstd.WithEncoderCRC(false), zstd.WithWindowSize(1<<20))
	if err != nil {
		a.encoders <- nil
	}
	return enc, err
}

// offsetWriter writes on from an offset.
type offsetWriter struct {
	f   io.WriterAt
	off int64
}

func (w *offsetWriter) Write(p []byte) (int, error) {
	n, err := w.f.WriteAt(p, w.off)
	w.off += int64(n)
	return n, err
}

// countWriter counts what goes through it.
type countWriter struct {
	w io.Writer
	n int64
}

func (w *countWriter) Write(p []byte) (int, error) {
	n, err := w.w.Write(p)
	w.n += int64(n)
	return n, err
}

// blobs keeps large contents, one to a file.
type blobs struct {
	a     *Archive
	known [256]atomic.Bool // directories whose entry this process has made durable
}

func blobDir(sha *[32]byte) string  { return fmt.Sprintf("%s/%02x", dirBlobs, sha[0]) }
func blobName(sha *[32]byte) string { return fmt.Sprintf("%s/%x", blobDir(sha), *sha) }

// makeDir makes the directory of a blob, durably.
func (s *blobs) makeDir(sha *[32]byte) error {
	if s.known[sha[0]].Load() {
		return nil
	}
	if err := s.a.dep.FS.MkdirAll(s.a.path(blobDir(sha)), 0o700); err != nil {
		return err
	}
	if err := s.a.dep.FS.SyncDir(s.a.path(dirBlobs)); err != nil {
		return err
	}
	s.known[sha[0]].Store(true)
	return nil
}

// place makes a complete temporary file a blob. It takes the file over.
func (s *blobs) place(f File, name string, sha *[32]byte) error {
	s.a.dep.Hook("content-written")
	err := f.Sync()
	if err == nil {
		s.a.dep.Hook("content-synced")
	}
	if err = errors.Join(err, f.Close()); err == nil {
		err = s.makeDir(sha)
	}
	to := s.a.path(blobName(sha))
	if err == nil {
		err = s.a.dep.FS.Rename(name, to)
	}
	if err != nil {
		_ = s.a.dep.FS.Remove(name) // goes when opened next, if not now
		return fmt.Errorf("place blob: %w", err)
	}
	if err := s.a.dep.FS.SyncDir(filepath.Dir(to)); err != nil {
		// Whether the name is durable is not known: it must not be found.
		return errors.Join(fmt.Errorf("place blob: %w", err), s.a.dep.FS.Remove(to))
	}
	s.a.dep.Hook("content-renamed")
	return nil
}

// settle makes durable the name of a blob that exists, if it does; that of its
// directory was made so before.
func (s *blobs) settle(sha *[32]byte) error {
	if _, err := s.a.dep.FS.Stat(s.a.path(blobName(sha))); err != nil {
		return nil //nolint:nilerr // it is in a pack
	}
	return s.a.dep.FS.SyncDir(s.a.path(blobDir(sha)))
}

// Has reports whether the content is stored. It does not read the bytes.
func (a *Archive) Has(sha string) bool {
	h, ok := parseSHA(sha)
	return ok && a.has(&h)
}

// Content opens a content as it was received. The bytes are checked: where
// they are not those of the hash, Content or the last Read returns an error
// that wraps [ErrDamaged], so a reader that saw io.EOF had the true bytes. The
// caller closes the reader. [ErrNotFound] means that it is not stored.
func (a *Archive) Content(sha string) (io.ReadCloser, error) {
	h, ok := parseSHA(sha)
	if !ok {
		return nil, fmt.Errorf("content %q: %w: want 64 hexadecimal digits", sha, ErrNotFound)
	}
	var (
		rc     io.ReadCloser
		broken error
	)
	err := a.frames(&h, func(r File, off int64, fh header) bool {
		var err error
		if rc, err = a.contentOf(r, off, fh); err != nil {
			broken = errors.Join(broken, err, r.Close())
			return true
		}
		return false
	})
	if rc != nil {
		return rc, nil
	}
	if err = errors.Join(broken, err); err != nil {
		return nil, fmt.Errorf("content %s: %w", sha, err)
	}
	return nil, fmt.Errorf("content %s: %w", sha, ErrNotFound)
}

// smallContent is up to how many bytes a content is checked before its first
// byte is given.
const smallContent = 4 << 20

// contentOf opens the content of a frame. It takes r over unless it fails.
func (a *Archive) contentOf(r File, off int64, h header) (io.ReadCloser, error) {
	src := io.NewSectionReader(r, off+frameHeader, h.stored)
	if h.raw <= smallContent && h.stored <= smallContent {
		b, err := a.small(src, h)
		if err != nil {
			return nil, err
		}
		return io.NopCloser(bytes.NewReader(b)), r.Close()
	}
	c, err := a.stream(src, h)
	if err != nil {
		return nil, err
	}
	c.f = r
	return c, nil
}

// stream gives a content of any size from its payload.
func (a *Archive) stream(src io.Reader, h header) (*contentReader, error) {
	c := &contentReader{a: a, r: src, h: h, hash: sha256.New()}
	switch h.codec {
	case codecRaw:
	case codecZstd:
		dec, err := a.decoder()
		if err != nil {
			return nil, err
		}
		if err := dec.Reset(bufio.NewReaderSize(src, chunk)); err != nil {
			return nil, fmt.Errorf("%w: %w", ErrDamaged, err)
		}
		c.dec, c.r = dec, dec
	default:
		return nil, fmt.Errorf("%w: codec %d", ErrDamaged, h.codec)
	}
	return c, nil
}

// small reads a whole content and checks it.
func (a *Archive) small(src io.Reader, h header) ([]byte, error) {
	b := make([]byte, h.stored)
	if _, err := io.ReadFull(src, b); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	switch h.codec {
	case codecRaw:
	case codecZstd:
		dec, err := a.decoder()
		if err != nil {
			return nil, err
		}
		// A spare byte of room: an output that is too long must not fit.
		b, err = dec.DecodeAll(b, make([]byte, 0, h.raw+1))
		a.decoders.Put(dec)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrDamaged, err)
		}
	default:
		return nil, fmt.Errorf("%w: codec %d", ErrDamaged, h.codec)
	}
	if int64(len(b)) != h.raw || sha256.Sum256(b) != h.sha {
		return nil, fmt.Errorf("%w: the bytes do not have the hash", ErrDamaged)
	}
	return b, nil
}

// decoder returns a decoder that works in the caller's goroutine.
func (a *Archive) decoder() (*zstd.Decoder, error) {
	if dec, _ := a.decoders.Get().(*zstd.Decoder); dec != nil {
		return dec, nil
	}
	return zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true),
		zstd.WithDecodeAllCapLimit(true), zstd.WithDecoderMaxWindow(8<<20))
}

// contentReader gives a large content and checks it at its end.
type contentReader struct {
	a    *Archive
	f    File // closed with the reader; nil: it is another's
	r    io.Reader
	dec  *zstd.Decoder
	h    header
	hash hash.Hash
	n    int64
	err  error
}

// Read implements [io.Reader].
func (c *contentReader) Read(p []byte) (int, error) {
	if c.err != nil {
		return 0, c.err
	}
	n, err := c.r.Read(p)
	c.hash.Write(p[:n])
	c.n += int64(n)
	switch {
	case c.n > c.h.raw:
		err = fmt.Errorf("content %x: %w: it is longer than it was", c.h.sha, ErrDamaged)
	case errors.Is(err, io.EOF):
		if c.n != c.h.raw || [32]byte(c.hash.Sum(nil)) != c.h.sha {
			err = fmt.Errorf("content %x: %w: the bytes do not have the hash", c.h.sha, ErrDamaged)
		}
	case err != nil:
		err = fmt.Errorf("content %x: %w: %w", c.h.sha, ErrDamaged, err)
	}
	c.err = err
	return n, err
}

// Close implements [io.Closer].
func (c *contentReader) Close() error {
	if c.err == nil {
		c.err = ErrClosed
	}
	if c.dec != nil {
		if c.dec.Reset(nil) == nil {
			c.a.decoders.Put(c.dec)
		}
		c.dec, c.r = nil, nil
	}
	if c.f == nil {
		return nil
	}
	f := c.f
	c.f = nil
	return f.Close()
}
