// SPDX-License-Identifier: Apache-2.0

package kmsg

import (
	"bytes"
	"compress/gzip"
	"encoding/hex"
	"errors"
	"strings"
	"testing"
	"unicode/utf16"

	"github.com/klauspost/compress/zstd"
	"github.com/ulikunitz/xz"
)

const (
	packedText = "[    1.000000] text\n"
	bzip2Text  = "425a6839314159265359f1e9df580000075b80501040016000000a020004402000310340d02008dea1158eb614a7c0dcde177245385090f1e9df58"
)

func inGzip(t *testing.T, s string) string {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	if _, err := w.Write([]byte(s)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func inXZ(t *testing.T, s string) string {
	t.Helper()
	var b bytes.Buffer
	w, err := xz.WriterConfig{DictCap: 1 << 16}.NewWriter(&b)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write([]byte(s)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func inUTF16(s string, low, high int) string {
	var b []byte
	for _, c := range utf16.Encode([]rune(s)) {
		b = append(b, byte(c>>low), byte(c>>high))
	}
	return string(b)
}

func TestPackedLogs(t *testing.T) {
	zw, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	// printf '[    1.000000] text\n' | bzip2, which nothing here can write.
	bz2, err := hex.DecodeString(bzip2Text)
	if err != nil {
		t.Fatal(err)
	}
	for name, in := range map[string]string{
		"plain":                  packedText,
		"gzip":                   inGzip(t, packedText),
		"gzip, in two members":   inGzip(t, packedText[:7]) + inGzip(t, packedText[7:]),
		"xz":                     inXZ(t, packedText),
		"zstd":                   string(zw.EncodeAll([]byte(packedText), nil)),
		"bzip2":                  string(bz2),
		"gzip in xz":             inXZ(t, inGzip(t, packedText)),
		"UTF-16, little-endian":  inUTF16("\ufeff"+packedText, 0, 8),
		"UTF-16, big-endian":     inUTF16("\ufeff"+packedText, 8, 0),
		"UTF-16 without a mark":  inUTF16(packedText, 0, 8),
		"a byte order mark":      "\ufeff" + packedText,
		"UTF-16 in gzip":         inGzip(t, inUTF16("\ufeff"+packedText, 0, 8)),
		"carriage returns":       strings.ReplaceAll(packedText, "\n", "\r\n"),
		"two carriage returns":   strings.ReplaceAll(packedText, "\n", "\r\r\n"),
		"packed three times":     inGzip(t, inGzip(t, inGzip(t, packedText))),
		"a zero byte at its end": packedText + "\x00\x00",
	} {
		recs, _ := readLog(t, in)
		if len(recs) == 0 || recs[0].Text != "text" || !recs[0].HasStamp {
			t.Errorf("%s: %+v", name, recs)
		}
	}
}

// What can't be opened is named, with what to do.
func TestPackedErrors(t *testing.T) {
	deep := packedText
	for range maxNested + 1 {
		deep = inGzip(t, deep)
	}
	for _, tc := range []struct{ name, in, say string }{
		{"lz4", "\x04\x22\x4d\x18xxxx", "lz4cat FILE"},
		{"zip", "PK\x03\x04xxxx", "unzip -p FILE"},
		{"tar", strings.Repeat("x", 257) + "ustar\x00", "tar -xOf FILE"},
		{"a journal", "LPKSHHRHxxxx", "journalctl --file=FILE -k"},
		{"broken gzip", "\x1f\x8bbroken", "unpack gzip"},
		{"broken xz", "\xfd7zXZ\x00broken", "unpack xz"},
		{"nested", deep, "more than three times"},
	} {
		_, err := ReadLog(strings.NewReader(tc.in), LogOptions{}, func(Record) {})
		if err == nil || !strings.Contains(err.Error(), tc.say) {
			t.Errorf("%s: %v", tc.name, err)
		}
	}
}

// Of a compressed log that breaks off, what is there is read.
func TestPackedAndCut(t *testing.T) {
	whole := inGzip(t, strings.Repeat(packedText, 4000))
	var n int
	stats, err := ReadLog(strings.NewReader(whole[:len(whole)*3/4]), LogOptions{}, func(Record) { n++ })
	if err != nil || !stats.Truncated || n == 0 {
		t.Errorf("%d records, %+v, %v", n, stats, err)
	}
}

func TestBounded(t *testing.T) {
	b := bounded{r: strings.NewReader(strings.Repeat("x", 100)), left: 10}
	var out bytes.Buffer
	if n, err := out.ReadFrom(&b); n != 10 || !errors.Is(err, errTooLarge) {
		t.Errorf("%d bytes, %v", n, err)
	}
}
