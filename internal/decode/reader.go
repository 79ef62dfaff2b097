package decode

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// Reader is the bytes of a delivery as UTF-8 text within its budgets: gzip
// (also of several members) and zstd are unpacked, a UTF-8 byte order mark is
// dropped, UTF-16 with a byte order mark is transcoded. It reads ahead by a
// fixed amount, and its memory does not grow with the delivery.
type Reader struct {
	r    io.Reader // after decompression and transcoding
	in   *counter
	lim  Limits
	n    int64 // bytes given
	pack bool  // compressed: the ratio counts
	zstd *zstd.Decoder
	done error
}

// stopped is the error of a [Reader] whose delivery goes on, but not for us.
type stopped struct {
	reason Reason
	detail string
}

func (s *stopped) Error() string { return s.detail }

// counter counts what is read and remembers what ended it.
type counter struct {
	r   io.Reader
	n   int64
	err error
}

func (c *counter) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += int64(n)
	if err != nil {
		c.err = err
	}
	return n, err
}

// ratioSlack is how many bytes a delivery may unpack to before its ratio
// counts: small texts of equal rows pack better than the budget.
const ratioSlack = 1 << 20

// maxWindow bounds the memory that a zstd frame may ask for, in bytes.
const maxWindow = 8 << 20

// newReader sniffs the first bytes of r. Its errors are those of r.
func newReader(r io.Reader, lim Limits) (*Reader, error) {
	x := &Reader{in: &counter{r: r}, lim: lim}
	head, rest, err := peek(x.in, 4)
	if err != nil {
		return nil, err
	}
	switch {
	case bytes.HasPrefix(head, []byte{0x1f, 0x8b}):
		x.pack = true
		z, err := gzip.NewReader(rest)
		if err != nil {
			return nil, x.damaged("gzip", err)
		}
		x.r = z
	case len(head) == 4 && (binary.LittleEndian.Uint32(head) == 0xfd2fb528 || binary.LittleEndian.Uint32(head)&^0xf == 0x184d2a50):
		x.pack = true
		z, err := zstd.NewReader(rest, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(maxWindow))
		if err != nil {
			return nil, x.damaged("zstd", err)
		}
		x.r, x.zstd = z, z
	default:
		x.r = rest
	}
	head, rest, err = peek(x.r, 4)
	if err != nil && x.pack {
		err = x.damaged("compressed data", err)
	}
	if err != nil {
		return nil, err
	}
	switch {
	case bytes.HasPrefix(head, []byte{0xef, 0xbb, 0xbf}):
		_, err = io.ReadFull(rest, make([]byte, 3))
	case bytes.HasPrefix(head, []byte{0xff, 0xfe}):
		rest = &utf16Reader{r: rest, order: binary.LittleEndian}
	case bytes.HasPrefix(head, []byte{0xfe, 0xff}):
		rest = &utf16Reader{r: rest, order: binary.BigEndian}
	}
	x.r = rest
	return x, err
}

// close frees the decompressor; it does not close what is read.
func (x *Reader) close() {
	if x.zstd != nil {
		x.zstd.Close()
	}
}

// damaged tells apart a delivery that is not what its first bytes promise from
// an error of the reader beneath.
func (x *Reader) damaged(what string, err error) error {
	if x.in.err != nil && !errors.Is(x.in.err, io.EOF) {
		return x.in.err
	}
	return &stopped{ReasonCompression, what + " is damaged: " + err.Error()}
}

// Read implements [io.Reader]. Its errors are io.EOF, an error of the reader
// beneath, or *stopped.
func (x *Reader) Read(p []byte) (int, error) {
	if x.done != nil {
		return 0, x.done
	}
	left := x.lim.Bytes - x.n
	if left <= 0 {
		// One byte more tells a delivery of just the budget from a larger one.
		if n, err := x.r.Read(p[:min(1, len(p))]); n == 0 && err != nil {
			x.done = x.after(err)
		} else if n > 0 {
			x.done = &stopped{ReasonBytes, "the delivery is larger than its budget of bytes"}
		}
		return 0, x.done
	}
	if x.pack {
		allowed := ratioSlack + int64(x.lim.Ratio)*x.in.n - x.n
		if allowed <= 0 {
			x.done = &stopped{ReasonRatio, "the delivery unpacks to more than its budget"}
			return 0, x.done
		}
		// A decompressor can turn one read of its input into 1000 times as
		// much: look again after each piece.
		left = min(left, max(allowed, 64<<10), 256<<10)
	}
	n, err := x.r.Read(p[:min(int64(len(p)), left)])
	x.n += int64(n)
	if err != nil {
		x.done = x.after(err)
		if n > 0 {
			return n, nil
		}
		return 0, x.done
	}
	return n, nil
}

func (x *Reader) after(err error) error {
	if errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return io.EOF
	}
	if x.pack {
		return x.damaged("compressed data", err)
	}
	return err
}

// peek returns the first n bytes of r, or fewer if there are no more, and a
// reader that gives all.
func peek(r io.Reader, n int) ([]byte, io.Reader, error) {
	b := make([]byte, n)
	n, err := io.ReadFull(r, b)
	b = b[:n]
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		if n > 0 || errors.Is(err, io.EOF) {
			err = nil
		}
	}
	return b, io.MultiReader(bytes.NewReader(b), r), err
}

// utf16Reader transcodes to UTF-8 and drops the byte order mark. What is not
// UTF-16 becomes U+FFFD: the archive keeps the bytes.
type utf16Reader struct {
	r     io.Reader
	order binary.ByteOrder
	begun bool
	in    [4096]byte
	n     int  // bytes in in
	high  rune // a high surrogate that waits for its low one
	out   []byte
	err   error
}

func (u *utf16Reader) Read(p []byte) (int, error) {
	for len(u.out) == 0 {
		if u.err != nil {
			return 0, u.err
		}
		u.fill()
	}
	n := copy(p, u.out)
	u.out = u.out[n:]
	return n, nil
}

func (u *utf16Reader) fill() {
	n, err := u.r.Read(u.in[u.n:])
	u.n += n
	u.err = err
	u.out = u.out[:0:cap(u.out)]
	i := 0
	for ; i+1 < u.n; i += 2 {
		c := rune(u.order.Uint16(u.in[i:]))
		if !u.begun {
			u.begun = true
			if c == 0xfeff {
				continue
			}
		}
		if u.high != 0 {
			r := utf16.DecodeRune(u.high, c)
			u.out = utf8.AppendRune(u.out, r)
			u.high = 0
			if r != utf8.RuneError {
				continue
			}
		}
		if 0xd800 <= c && c < 0xdc00 {
			u.high = c
			continue
		}
		u.out = utf8.AppendRune(u.out, c) // a low surrogate alone is U+FFFD
	}
	u.n = copy(u.in[:], u.in[i:u.n])
	if u.err != nil && (u.high != 0 || u.n > 0) {
		u.out = utf8.AppendRune(u.out, utf8.RuneError)
		u.high, u.n = 0, 0
	}
}
