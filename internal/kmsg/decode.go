// SPDX-License-Identifier: Apache-2.0

package kmsg

import (
	"bufio"
	"bytes"
	"compress/bzip2"
	"compress/gzip"
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/zstd"
	"github.com/ulikunitz/xz"
	"golang.org/x/text/encoding/unicode"
)

// What a compressed log may cost: memory for the window of the decoder, and
// text that comes out of it, so that a small file can't keep us busy for days.
const (
	maxWindow   = 128 << 20
	maxUnpacked = 64 << 30
	maxNested   = 3 // a log.gz within a log.xz; more is no accident.
)

// readBuffer is large, since logs are read from end to end.
const readBuffer = 256 << 10

var errTooLarge = fmt.Errorf("the compressed log holds more than %d GiB of text", maxUnpacked>>30)

// packing is one way in which a log is compressed or archived.
type packing struct {
	name   string
	offset int // of magic.
	magic  string
	open   func(io.Reader) (io.Reader, error)
	remedy string // what to do where it can't be opened.
}

func packings() []packing {
	return []packing{
		{name: "gzip", magic: "\x1f\x8b", open: func(r io.Reader) (io.Reader, error) { return gzip.NewReader(r) }},
		{name: "bzip2", magic: "BZh", open: func(r io.Reader) (io.Reader, error) { return bzip2.NewReader(r), nil }},
		{name: "xz", magic: "\xfd7zXZ\x00", open: func(r io.Reader) (io.Reader, error) { return xz.NewReader(r) }},
		{name: "zstd", magic: "\x28\xb5\x2f\xfd", open: openZstd},
		{name: "lz4", magic: "\x04\x22\x4d\x18", remedy: "lz4cat FILE | oom_exporter explain"},
		{name: "lzop", magic: "\x89LZO\x00", remedy: "lzop -dc FILE | oom_exporter explain"},
		{name: "a zip archive", magic: "PK\x03\x04", remedy: "unzip -p FILE | oom_exporter explain"},
		{name: "a 7z archive", magic: "7z\xbc\xaf\x27\x1c", remedy: "7z x -so FILE | oom_exporter explain"},
		{name: "a tar archive", offset: 257, magic: "ustar", remedy: "tar -xOf FILE | oom_exporter explain"},
		{name: "a systemd journal", magic: "LPKSHHRH", remedy: "journalctl --file=FILE -k | oom_exporter explain"},
	}
}

func openZstd(r io.Reader) (io.Reader, error) {
	zr, err := zstd.NewReader(r, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(maxWindow))
	if err != nil {
		return nil, err
	}
	return zr.IOReadCloser(), nil
}

// openText undoes compression and turns UTF-16 into UTF-8.
func openText(r io.Reader) (*bufio.Reader, error) {
	br := bufio.NewReaderSize(r, readBuffer)
	for unpacked := 0; ; unpacked++ {
		p, ok := packed(br)
		if !ok {
			return decodeText(br), nil
		}
		if unpacked == maxNested {
			return nil, errors.New("the input is compressed more than three times")
		}
		if p.open == nil {
			return nil, fmt.Errorf("the input is %s: unpack it first: %s", p.name, p.remedy)
		}
		content, err := p.open(br)
		if err != nil {
			return nil, fmt.Errorf("unpack %s: %w", p.name, err)
		}
		br = bufio.NewReaderSize(&bounded{r: content, left: maxUnpacked}, readBuffer)
	}
}

func packed(br *bufio.Reader) (packing, bool) {
	head, _ := br.Peek(512)
	for _, p := range packings() {
		if len(head) > p.offset && bytes.HasPrefix(head[p.offset:], []byte(p.magic)) {
			return p, true
		}
	}
	return packing{}, false
}

// decodeText goes by the byte order mark. UTF-16 without one is recognised by its
// zero bytes.
func decodeText(br *bufio.Reader) *bufio.Reader {
	head, _ := br.Peek(64)
	endian := unicode.LittleEndian
	switch {
	case bytes.HasPrefix(head, []byte{0xef, 0xbb, 0xbf}):
		_, _ = br.Discard(3)
		return br
	case bytes.HasPrefix(head, []byte{0xff, 0xfe}):
	case bytes.HasPrefix(head, []byte{0xfe, 0xff}):
		endian = unicode.BigEndian
	case zeros(head, 1):
	case zeros(head, 0):
		endian = unicode.BigEndian
	default:
		return br
	}
	decoder := unicode.UTF16(endian, unicode.UseBOM).NewDecoder()
	return bufio.NewReaderSize(decoder.Reader(br), readBuffer)
}

// zeros tells whether every second byte from the given one is zero, and the
// others are not: UTF-16 of plain text.
func zeros(head []byte, from int) bool {
	for i, b := range head {
		if (b == 0) != (i%2 == from) {
			return false
		}
	}
	return len(head) >= 8
}

// bounded is a reader that ends in an error instead of going on for ever.
type bounded struct {
	r    io.Reader
	left int64
}

func (b *bounded) Read(p []byte) (int, error) {
	if b.left <= 0 {
		return 0, errTooLarge
	}
	if int64(len(p)) > b.left {
		p = p[:b.left]
	}
	n, err := b.r.Read(p)
	b.left -= int64(n)
	return n, err
}
